/** Arms in lists, and what they change there. */
import { describe, expect, it } from 'vitest'
import { assign, type Experiment } from '../../schemas/index.ts'
import { resolveOptions } from '../../streams/options.ts'
import { isHoldout } from '../topk/exploration.ts'
import { FakeItems, fakeUser } from '../topk/fakes.ts'
import { topkOptions } from '../topk/options.ts'
import { UserLists } from '../topk/user-lists.ts'
import { ExperimentBook } from './book.ts'
import { conflictsOf, problemsOf } from './check.ts'
import { parseDefinition } from './definition-file.ts'

const now = 1_700_000_000_000

const rank7: Experiment = {
  experiment: 'rank7',
  salt: 's',
  arms: [
    { name: 'a', share: 0.4, overrides: {} },
    { name: 'b', share: 0.4, overrides: { 'topk.temperature': '0', 'topk.mmr': '0' } },
  ],
  control: 'a',
  metrics: [],
  guardrails: {},
  start: now - 1000,
  end: now + 1000,
}

function made(flags: Record<string, string> = {}, ...experiments: Experiment[]) {
  const options = resolveOptions(topkOptions, {
    flags: { 'explore.holdout': '0', ...flags },
    environment: {},
    file: {},
  }).values
  const book = new ExperimentBook(options)
  for (const each of experiments) expect(book.apply(each.experiment, each)).toEqual([])
  const items = new FakeItems({ items: 300, seed: 1 })
  const lists = new UserLists({ options, items, experiments: book })
  const list = (userId: string, at = now) => {
    const [write] = lists.build(fakeUser(userId, [1, 2, 3]), at, true)
    if (write.op !== 'json') throw new Error('no list')
    return JSON.parse(`{${write.body}`) as {
      policy: string
      experiments: Record<string, string>
      items: { p: number }[]
      p: number[]
    }
  }
  return { options, book, list }
}

const userIn = (arm: string | null, experiment = rank7): string => {
  for (let k = 0; ; k++) if (assign(experiment, `u${k}`) === arm) return `u${k}`
}

describe('lists of users in an experiment', () => {
  it.each(['json', 'compact'])('carry the arm (%s), and are drawn by what it changes', format => {
    const { list } = made({ 'topk.format': format }, rank7)
    const a = list(userIn('a'))
    const b = list(userIn('b'))
    const neither = list(userIn(null))
    expect([a.experiments, b.experiments, neither.experiments]).toEqual([
      { rank7: 'a' },
      { rank7: 'b' },
      {},
    ])
    expect([a.policy, b.policy, neither.policy]).toEqual([
      'mix-pl@1',
      'mix-greedy@1+rank7.b',
      'mix-pl@1',
    ])
    const p = (found: typeof a) => found.p ?? found.items.map(item => item.p)
    expect(Math.min(...p(b))).toBe(1)
    expect(Math.min(...p(a))).toBeLessThan(1)
  })

  it('what an arm says comes before the policy file', () => {
    const file = JSON.stringify({ surfaces: { home: { policy: 'epsilon', epsilons: [0.1, 0.3] } } })
    const arms = [rank7.arms[0], { ...rank7.arms[1], overrides: { 'topk.epsilon': '0.5' } }]
    const { list } = made({ 'topk.policies': file }, { ...rank7, arms })
    expect(list(userIn('b')).policy).toBe('mix-eps.5@1+rank7.b')
    expect(list(userIn('a')).policy).toMatch(/^mix-eps\.[13]@1$/)
  })

  it('only from start to end, and as long as the experiment stands', () => {
    const { list, book } = made({}, rank7)
    const user = userIn('b')
    expect(list(user, rank7.start - 1).experiments).toEqual({})
    expect(list(user, rank7.start).experiments).toEqual({ rank7: 'b' })
    expect(list(user, Number(rank7.end)).experiments).toEqual({})
    const arms = [rank7.arms[0], { ...rank7.arms[1], overrides: { 'topk.temperature': '0.2' } }]
    book.apply('rank7', { ...rank7, arms })
    expect(list(user).policy).toBe('mix-pl@1+rank7.b')
    book.apply('rank7', null)
    expect(list(user)).toMatchObject({ experiments: {}, policy: 'mix-pl@1' })
  })

  it('of two experiments have the arms and changes of both', () => {
    const other: Experiment = {
      ...rank7,
      experiment: 'caps',
      arms: [
        { name: 'few', share: 0.5, overrides: { 'topk.creatorCap': '1' } },
        { name: 'many', share: 0.5, overrides: {} },
      ],
      control: 'many',
    }
    const { list } = made({}, rank7, other)
    for (let k = 0; ; k++) {
      const user = `u${k}`
      if (assign(rank7, user) !== 'b' || assign(other, user) !== 'few') continue
      expect(list(user)).toMatchObject({
        experiments: { caps: 'few', rank7: 'b' },
        policy: 'mix-greedy@1+caps.few+rank7.b',
      })
      break
    }
  })

  it('exploration is an experiment of its own; who is held out is in no other', () => {
    const { list, options, book } = made({ 'explore.holdout': '0.2' }, rank7)
    let held = 0
    for (let k = 0; k < 200; k++) {
      const user = `u${k}`
      const { experiments, policy } = list(user)
      if (isHoldout(user, options)) {
        held++
        expect(experiments).toEqual({ exploration: 'holdout' })
        expect(policy).toBe('mix-holdout@1')
      } else expect(experiments.exploration).toBe('on')
    }
    expect(held).toBeGreaterThan(10)
    // nine measured users for each that is held out, or all there are
    expect(book.get('exploration')?.arms.map(({ share }) => share)).toEqual([0.8, 0.2])
    const rare = new ExperimentBook({ 'explore.holdout': 0.01, 'explore.salt': '' })
    const definition = rare.get('exploration')
    const [on, holdout] = definition?.arms ?? []
    expect(on.share / holdout.share).toBeCloseTo(9, 9)
    let measured = 0
    for (let k = 0; k < 20_000; k++) if (definition?.measures(`u${k}`, 'on')) measured++
    expect(measured / 20_000).toBeCloseTo(0.0909, 2)
    expect(new ExperimentBook({ 'explore.holdout': 0, 'explore.salt': '' }).all()).toEqual([])
  })
})

describe('what is put', () => {
  const problems = (more: object): string =>
    problemsOf({ ...rank7, ...more } as Experiment, 'blend').join('; ')

  it('is refused with what is wrong and what it takes', () => {
    expect(problems({})).toBe('')
    expect(problems({ experiment: 'exploration' })).toContain('is built in')
    expect(problems({ control: 'z' })).toContain('control got "z"')
    expect(problems({ control: '' })).toContain('control got ""')
    expect(problems({ arms: [rank7.arms[0]] })).toContain('compares two or more')
    expect(problems({ arms: [rank7.arms[0], { ...rank7.arms[1], share: 0.7 }] })).toContain(
      'sum to 1.1',
    )
    expect(problems({ metrics: ['clicks'] })).toContain('"clicks" is none of')
    expect(problems({ guardrails: { dau: -1 } })).toContain('guardrails.dau got -1')
    expect(problems({ end: rank7.start })).toContain('is not before end')
    const changing = (overrides: object) =>
      problems({ arms: [rank7.arms[0], { ...rank7.arms[1], overrides }] })
    expect(changing({ 'topk.size': '9' })).toContain('an arm may change topk.policy')
    expect(changing({ 'topk.temperature': 'hot' })).toContain('it takes a number from 0 to 100')
    expect(changing({ ranker: 'model:x' })).toContain('ranker got "model:x"; an arm takes blend')
    expect(changing({ ranker: 'blend' })).toBe('')
  })

  it('does not change arms, shares or salt of one that runs; ends, metrics and guardrails it may', () => {
    const standing = new Map([['rank7', rank7]])
    const said = (more: object, at = now): string =>
      conflictsOf({ ...rank7, ...more } as Experiment, standing, at).join('; ')
    const moved = rank7.arms.map(arm => ({ ...arm, share: 0.5 }))
    expect(said({ arms: moved })).toContain('its shares would change')
    expect(said({ arms: moved })).toContain('freshet experiments stop rank7')
    expect(said({ salt: 't', control: 'b' })).toContain('its salt, control would change')
    expect(said({ end: null, metrics: ['ctr'], guardrails: { dau: 1 } })).toBe('')
    expect(said({ arms: moved }, rank7.start - 1)).toBe('')
    expect(said({ end: null }, now + 5000)).toContain('rank7 ended at')
    expect(said({ end: now - 1 })).toContain('has passed')
  })

  it('does not change an option that another one changes at the same time', () => {
    const other = { ...rank7, experiment: 'warm' }
    const standing = new Map([['rank7', rank7]])
    expect(conflictsOf({ ...other, end: null }, standing, now).join()).toContain(
      'changes topk.temperature, topk.mmr too',
    )
    expect(conflictsOf({ ...other, start: Number(rank7.end), end: null }, standing, now)).toEqual(
      [],
    )
  })

  it('is read from JSON with times as people write them', () => {
    const given = {
      experiment: 'x',
      arms: [{ name: 'a', share: 1, overrides: { 'topk.mmr': 0.5, 'topk.fatigue': false } }],
      control: 'a',
    }
    expect(parseDefinition({ ...given, end: '2030-01-01' }, 7)).toEqual({
      ...given,
      arms: [{ name: 'a', share: 1, overrides: { 'topk.mmr': '0.5', 'topk.fatigue': 'false' } }],
      salt: '',
      metrics: [],
      guardrails: {},
      start: 7,
      end: Date.UTC(2030, 0, 1),
    })
    expect(() => parseDefinition({ ...given, arm: [] }, 7)).toThrow('"arm", which nothing reads')
    expect(() => parseDefinition({ ...given, end: 'soon' }, 7)).toThrow('end: it takes a time')
    expect(() => parseDefinition([], 7)).toThrow('does not fit')
  })
})
