/** The estimators against obp's own, run side by side on varied samples. */
import { beforeAll, describe, expect, it } from 'vitest'
import { randomFrom } from '../../../streams/serde/hash.ts'
import { runObp } from '../../../test/support/obp.ts'
import { bernsteinLower } from './intervals.ts'
import { type Lambdas, type Round, sumRounds } from './single.ts'
import { type LoggedSlate, sumSlates } from './slate.ts'
import { estimateOf } from './terms.ts'

const script = `
out = {'bandit': [], 'slate': [], 'bernstein': []}
given = json.load(sys.stdin)
for c in given['bandit']:
    k = dict(reward=A(c['reward']), action=A(c['action'], int), pscore=A(c['pscore']),
             action_dist=A(c['dist']), estimated_rewards_by_reg_model=A(c['q']), position=A(c['position'], int))
    v = k | dict(estimated_importance_weights=A(c['v']))
    l = c['lambdas']
    out['bandit'].append({
        'ipw': E.InverseProbabilityWeighting(lambda_=l['clip']).estimate_policy_value(**k),
        'snipw': E.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**k),
        'dm': E.DirectMethod().estimate_policy_value(**k),
        'dr': E.DoublyRobust(lambda_=l['clip']).estimate_policy_value(**k),
        'sndr': E.SelfNormalizedDoublyRobust().estimate_policy_value(**k),
        'switch_dr': E.SwitchDoublyRobust(lambda_=l['switch']).estimate_policy_value(**k),
        'dros': E.DoublyRobustWithShrinkage(lambda_=l['shrink']).estimate_policy_value(**k),
        'sg_ipw': E.SubGaussianInverseProbabilityWeighting(lambda_=l['subGaussian']).estimate_policy_value(**k),
        'sg_dr': E.SubGaussianDoublyRobust(lambda_=l['subGaussian']).estimate_policy_value(**k),
        'b_ipw': E.BalancedInverseProbabilityWeighting(lambda_=l['clip']).estimate_policy_value(**v),
    })
for c in given['slate']:
    n, L = c['n'], c['positions']
    k = dict(slate_id=np.repeat(np.arange(n), L), reward=A(c['reward']), position=np.tile(np.arange(L), n),
             action=A(c['action'], int))
    whole = dict(pscore=A(c['whole_b']), evaluation_policy_pscore=A(c['whole_e']))
    item = dict(pscore_item_position=A(c['item_b']), evaluation_policy_pscore_item_position=A(c['item_e']))
    cascade = dict(pscore_cascade=A(c['cascade_b']), evaluation_policy_pscore_cascade=A(c['cascade_e']))
    dr = dict(q_hat=A(c['q']), evaluation_policy_action_dist=A(c['dist']))
    out['slate'].append({
        'sips': S.SlateStandardIPS(len_list=L).estimate_policy_value(**k, **whole),
        'iips': S.SlateIndependentIPS(len_list=L).estimate_policy_value(**k, **item),
        'rips': S.SlateRewardInteractionIPS(len_list=L).estimate_policy_value(**k, **cascade),
        'snsips': S.SelfNormalizedSlateStandardIPS(len_list=L).estimate_policy_value(**k, **whole),
        'snips': S.SelfNormalizedSlateRewardInteractionIPS(len_list=L).estimate_policy_value(**k, **cascade),
        'dr': S.SlateCascadeDoublyRobust(len_list=L, n_unique_action=c['actions']).estimate_policy_value(**k, **cascade, **dr),
    })
for c in given['bernstein']:
    out['bernstein'].append(H.estimate_bernstein_lower_bound(A(c['x']), x_max=c['most'], delta=c['delta']))
print(json.dumps(out))
`

const random = randomFrom(11)
const distribution = (n: number, sharpness: number): number[] => {
  const logits = Array.from({ length: n }, () => Math.exp(sharpness * random()))
  const sum = logits.reduce((a, b) => a + b, 0)
  return logits.map(x => x / sum)
}
const drawFrom = (p: readonly number[]): number => {
  let left = random()
  for (let i = 0; i < p.length; i++) {
    left -= p[i]
    if (left < 0) return i
  }
  return p.length - 1
}

function banditCase(number: number) {
  const n = [40, 300, 1500][number % 3]
  const actions = 2 + (number % 7)
  const positions = 1 + (number % 3)
  const lambdas: Lambdas = {
    clip: number % 2 === 0 ? 1e12 : 1.5,
    switch: 0.5 + (number % 5),
    shrink: [0.1, 2, 50, 1e6][number % 4],
    subGaussian: [0, 0.05, 0.7, 1][number % 4],
  }
  const rows = Array.from({ length: n }, () => {
    const position = Math.floor(random() * positions)
    const logged = distribution(actions, 3)
    const action = drawFrom(logged)
    const target = Array.from({ length: positions }, () => distribution(actions, 4))
    const q = Array.from({ length: positions }, () => logged.map(() => random()))
    const reward = number % 4 === 3 ? random() * 40 : random() < 0.3 ? 1 : 0
    return { position, logged, action, target, q, reward, v: random() * 3 }
  })
  const byAction = (of: readonly (readonly number[])[]): number[][] =>
    Array.from({ length: actions }, (_, a) => of.map(at => at[a]))
  const rounds: Round[] = rows.map(({ position, logged, action, target, q, reward, v }, i) => ({
    user: number % 2 === 0 ? i : i % 7,
    weight: target[position][action] / logged[action],
    reward,
    expected: q[position][action],
    expectedOfTarget: target[position].reduce((sum, p, a) => sum + p * q[position][a], 0),
    otherWeight: v,
  }))
  return {
    rounds,
    lambdas,
    given: {
      reward: rows.map(row => row.reward),
      action: rows.map(row => row.action),
      pscore: rows.map(row => row.logged[row.action]),
      position: rows.map(row => row.position),
      dist: rows.map(row => byAction(row.target)),
      q: rows.map(row => byAction(row.q)),
      v: rows.map(row => row.v),
      lambdas,
    },
  }
}

function slateCase(number: number) {
  const n = [30, 200, 700][number % 3]
  const positions = 1 + (number % 5)
  const actions = 4 + (number % 3)
  const given = {
    n,
    positions,
    actions,
    reward: [] as number[],
    action: [] as number[],
    whole_b: [] as number[],
    whole_e: [] as number[],
    item_b: [] as number[],
    item_e: [] as number[],
    cascade_b: [] as number[],
    cascade_e: [] as number[],
    q: [] as number[],
    dist: [] as number[],
  }
  const slates: LoggedSlate[] = Array.from({ length: n }, (_, i) => {
    let logged = 1
    let wanted = 1
    const steps = Array.from({ length: positions }, () => {
      const b = distribution(actions, 2)
      const e = distribution(actions, 3)
      const q = b.map(() => random())
      const action = drawFrom(b)
      const itemB = 0.05 + random() / 2
      const itemE = 0.05 + random() / 2
      const reward = random() < 0.4 ? 1 : 0
      logged *= b[action]
      wanted *= e[action]
      given.reward.push(reward)
      given.action.push(action)
      given.item_b.push(itemB)
      given.item_e.push(itemE)
      given.cascade_b.push(logged)
      given.cascade_e.push(wanted)
      given.q.push(...q)
      given.dist.push(...e)
      return {
        ratio: e[action] / b[action],
        reward,
        marginalRatio: itemE / itemB,
        expected: q[action],
        expectedOfTarget: e.reduce((sum, p, a) => sum + p * q[a], 0),
      }
    })
    for (let k = 0; k < positions; k++) {
      given.whole_b.push(logged)
      given.whole_e.push(wanted)
    }
    return { user: i % 5, steps }
  })
  return { slates, positions, given }
}

const bandit = Array.from({ length: 24 }, (_, number) => banditCase(number))
const slate = Array.from({ length: 18 }, (_, number) => slateCase(number))
const bernstein = Array.from({ length: 12 }, (_, number) => ({
  x: Array.from({ length: 5 + number * 40 }, () => random() ** 3 * (1 + number)),
  most: 1 + number + (number % 3),
  delta: [0.05, 0.01, 0.2][number % 3],
}))

type Values = Readonly<Record<string, number>>
let obp: { bandit: Values[]; slate: Values[]; bernstein: number[] }
let compared = 0

const same = (ours: number, theirs: number, what: string): void => {
  compared++
  expect(Number.isFinite(ours), what).toBe(true)
  expect(Math.abs(ours - theirs), `${what}: ${ours}, obp ${theirs}`).toBeLessThanOrEqual(
    1e-9 * Math.max(1e-3, Math.abs(theirs)),
  )
}

beforeAll(() => {
  obp = runObp(script, {
    bandit: bandit.map(({ given }) => given),
    slate: slate.map(({ given }) => given),
    bernstein,
  }) as typeof obp
})

describe('equal to obp', () => {
  it('on a log of single draws', () => {
    bandit.forEach(({ rounds, lambdas }, i) => {
      const { sums, estimators } = sumRounds(rounds, lambdas)
      const totals = sums.totals()
      const ours = new Map(estimators.map(each => [each.name, estimateOf(each, totals)]))
      for (const [name, value] of Object.entries(obp.bandit[i]))
        same(ours.get(name) ?? Number.NaN, value, `${name} of case ${i}`)
    })
  })

  it('on a log of lists', () => {
    slate.forEach(({ slates, positions }, i) => {
      const { sums, estimators } = sumSlates(slates, positions)
      const totals = sums.totals()
      const ours = new Map(estimators.map(each => [each.name, estimateOf(each, totals)]))
      for (const [name, value] of Object.entries(obp.slate[i]))
        same(ours.get(name) ?? Number.NaN, value, `${name} of case ${i}`)
    })
  })

  it('in the empirical Bernstein bound', () => {
    bernstein.forEach(({ x, most, delta }, i) => {
      same(bernsteinLower(x, most, delta) ?? Number.NaN, obp.bernstein[i], `bound ${i}`)
    })
  })

  it('in all that was compared', () => {
    expect(compared).toBeGreaterThanOrEqual(300)
  })
})
