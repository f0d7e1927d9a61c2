/** Oracles: the reference values of the formulas, and numpy, scipy and statsmodels on the same data. */
import { describe, expect, it } from 'vitest'
import { hash53, randomFrom } from '../../../streams/serde/hash.ts'
import { falseAlarms, streams } from '../../../test/quality/sequential.ts'
import { runPython } from '../../../test/support/python.ts'
import { type Adjustment, adjusted } from './adjust.ts'
import { alwaysValidP, halfWidth, rhoOf } from './always-valid.ts'
import { effectOf } from './effect.ts'
import { estimates, type Sums, thetaOf } from './estimates.ts'
import { srmAlarm, srmP } from './srm.ts'
import { alikeRange, guardrailOf, verdictOf } from './verdict.ts'

const oracle = ['numpy==2.2.6', 'scipy==1.15.3', 'pandas==2.3.3', 'statsmodels==0.14.5']
/** The environment is made at the first run. */
const installMs = 300_000
const limits = { alpha: 0.05, minUsers: 100 }

function sums(y: readonly number[], x: readonly number[] = y.map(() => 0)): Sums {
  const of = (f: (k: number) => number) => y.reduce((sum, _, k) => sum + f(k), 0)
  return {
    n: y.length,
    y: of(k => y[k]),
    yy: of(k => y[k] ** 2),
    x: of(k => x[k]),
    xx: of(k => x[k] ** 2),
    xy: of(k => x[k] * y[k]),
  }
}

const ones = (n: number, of: number) => ({ ...sums([]), n: of, y: n, yy: n })

function close(found: number | null, wanted: number, relative = 1e-9): void {
  expect(found).not.toBeNull()
  expect(Math.abs((found as number) - wanted)).toBeLessThanOrEqual(relative * Math.abs(wanted))
}

describe('always-valid figures', () => {
  it('are those of the reference: 400 of 10000 against 480 of 10000', () => {
    const [control, arm] = estimates([ones(400, 10_000), ones(480, 10_000)], 'share')
    const { effect, low, high, p } = effectOf(arm, control, limits)
    close(effect, 0.008)
    close(low, -0.001068415351086354)
    close(high, 0.017068415351086354)
    close(p, 0.14304470444702425)
  })

  it('the interval leaves out 0 exactly where p is below alpha', () => {
    const rho = rhoOf(0.05)
    for (let k = 1; k < 400; k++) {
      const n = 50 * k
      const effect = 0.3 / Math.sqrt(k)
      const s2 = 4 * (1 + (k % 7))
      expect(alwaysValidP(effect, s2, n, rho) < 0.05).toBe(effect > halfWidth(s2, n, 0.05, rho))
    }
  })

  it('raise false alarms in at most 6% of streams without an effect, whoever looks after every user', {
    timeout: 120_000,
  }, () => {
    for (const name of Object.keys(streams))
      expect([name, falseAlarms(name, 300, 3_000)]).toEqual([name, expect.toSatisfy(n => n <= 18)])
  })

  it('looks that are not paid for do: the test can fail', () => {
    // the fixed-horizon z test, peeked at
    let alarms = 0
    for (let s = 0; s < 200; s++) {
      const random = randomFrom(hash53(`fixed ${s}`))
      const arms = [0, 1].map(
        () => ({ ...sums([]), n: 0, y: 0, yy: 0 }) as { -readonly [K in keyof Sums]: number },
      )
      for (let u = 0; u < 3_000; u++) {
        const arm = arms[u % 2]
        const y = random() < 0.5 ? 1 : 0
        arm.n++
        arm.y += y
        arm.yy += y
        if (u < 200) continue
        const [a, b] = estimates(arms, 'share')
        const se = Math.sqrt((a.variance ?? 0) / a.n + (b.variance ?? 0) / b.n)
        if (Math.abs((a.mean ?? 0) - (b.mean ?? 0)) > 1.96 * se) {
          alarms++
          break
        }
      }
    }
    expect(alarms).toBeGreaterThan(20)
  })
})

describe('estimates', () => {
  const random = randomFrom(5)
  const trials = Array.from({ length: 40 }, (_, t) => {
    const draw = (n: number, shift: number) =>
      Array.from({ length: n }, () => {
        const x = Math.floor(20 * random() ** 2)
        return { x: t % 2 ? x + 1 : x, y: Math.floor(x * random() * 3 + shift + 5 * random()) }
      })
    return { a: draw(20 + 7 * t, 0), b: draw(31 + 5 * t, t % 3) }
  })

  it('CUPED, ratios and means are those of numpy on the raw values', { timeout: installMs }, () => {
    const wanted = runPython(
      `
import json, sys, numpy as np
out = []
for t in json.load(sys.stdin):
    a, b = [np.array([[u["y"], u["x"]] for u in t[k]], float) for k in "ab"]
    both = np.concatenate([a, b])
    c = np.cov(both[:, 0], both[:, 1])
    theta = c[0, 1] / c[1, 1]
    row = {"theta": theta, "cuped": [], "mean": [], "ratio": []}
    for g in (a, b):
        adj = g[:, 0] - theta * (g[:, 1] - both[:, 1].mean())
        row["cuped"].append([adj.mean(), adj.var(ddof=1)])
        row["mean"].append([g[:, 0].mean(), g[:, 0].var(ddof=1)])
        y, x = g[:, 0], g[:, 1]
        m = np.cov(y, x)
        r = y.mean() / x.mean()
        row["ratio"].append([r, (m[0, 0] - 2 * r * m[0, 1] + r * r * m[1, 1]) / x.mean() ** 2])
    out.append(row)
print(json.dumps(out))`,
      trials,
      oracle,
      'experiments',
    ) as Record<'cuped' | 'mean' | 'ratio', [number, number][]>[] & { theta: number }[]
    trials.forEach(({ a, b }, t) => {
      const arms = [a, b].map(users =>
        sums(
          users.map(({ y }) => y),
          users.map(({ x }) => x),
        ),
      )
      const [all] = [
        sums(
          [...a, ...b].map(u => u.y),
          [...a, ...b].map(u => u.x),
        ),
      ]
      close(thetaOf(all), wanted[t].theta)
      for (const how of ['cuped', 'mean', 'ratio'] as const)
        estimates(arms, how).forEach(({ mean, variance }, arm) => {
          close(mean, wanted[t][how][arm][0])
          close(variance, wanted[t][how][arm][1])
        })
    })
  })

  it('CUPED takes away what the covariate explains, and leaves the effect', () => {
    const x = Array.from({ length: 400 }, (_, k) => k % 40)
    const arms = [0, 1].map(arm =>
      sums(
        x.map((v, k) => 3 * v + (k % 3) + 2 * arm),
        x,
      ),
    )
    const [control, arm] = estimates(arms, 'cuped')
    expect((arm.mean ?? 0) - (control.mean ?? 0)).toBeCloseTo(2, 12)
    expect(arm.variance).toBeLessThan(1)
    expect(estimates(arms, 'mean')[0].variance).toBeGreaterThan(1_000)
  })

  it('a covariate that is the same for all changes nothing', () => {
    const y = [1, 5, 2, 8, 3]
    const arms = [
      sums(
        y,
        y.map(() => 7),
      ),
      sums(
        y.map(v => v + 1),
        y.map(() => 7),
      ),
    ]
    expect(estimates(arms, 'cuped')).toEqual(estimates(arms, 'mean'))
  })

  it('nobody, one user, nothing to divide by, all alike: null with a reason, never NaN', () => {
    const few = { alpha: 0.05, minUsers: 0 }
    const of = (arms: Sums[], how: 'mean' | 'share' | 'ratio' | 'cuped') => {
      const [control, arm] = estimates(arms, how)
      return effectOf(arm, control, few)
    }
    for (const how of ['mean', 'share', 'ratio', 'cuped'] as const) {
      expect(of([sums([]), sums([1, 2])], how).reason).toBe('the control has no users')
      expect(of([sums([1, 0]), sums([])], how).reason).toBe('the arm has no users')
      expect(of([sums([1], [1]), sums([1], [1])], how).reason).toBe('fewer than 2 users in an arm')
    }
    expect(of([sums([1, 2]), sums([1, 2])], 'ratio').reason).toBe('nothing to divide by yet')
    const alike = of([sums([3, 3]), sums([4, 4])], 'mean')
    expect(alike).toEqual({
      effect: 1,
      low: null,
      high: null,
      p: null,
      reason: 'all users are alike',
    })
    expect(of([sums([1, 0, 1]), sums([0, 0, 1])], 'share').p).toBe(1)
    expect(
      effectOf(...(estimates([ones(4, 99), ones(9, 5_000)], 'share') as [never, never]), limits)
        .reason,
    ).toBe('fewer than 100 users in an arm')
  })
})

describe('sample ratio mismatch', () => {
  it('is the reference on 5000 to 5200', () => {
    close(srmP([5_000, 5_200], [0.5, 0.5]), 0.0476703806561615)
  })

  it("is scipy's chi-square on any shares", { timeout: installMs }, () => {
    const random = randomFrom(9)
    const trials = Array.from({ length: 50 }, (_, t) => {
      const shares = Array.from({ length: 2 + (t % 4) }, () => 0.05 + random() / 5)
      return {
        shares,
        users: shares.map(share => Math.floor(share * 10_000 * (0.97 + 0.06 * random()))),
      }
    })
    const wanted = runPython(
      `
import json, sys
from scipy.stats import chisquare
out = []
for t in json.load(sys.stdin):
    n, s = sum(t["users"]), sum(t["shares"])
    out.append(chisquare(t["users"], [n * x / s for x in t["shares"]]).pvalue)
print(json.dumps(out))`,
      trials,
      oracle,
      'experiments',
    ) as number[]
    trials.forEach(({ users, shares }, t) => {
      close(srmP(users, shares), wanted[t])
    })
  })

  it('alarms at .001, and says nothing of one arm or of nobody', () => {
    expect(srmP([5_000, 5_400], [0.5, 0.5])).toBeLessThan(srmAlarm)
    expect(srmP([100], [1])).toBeNull()
    expect(srmP([0, 0], [0.5, 0.5])).toBeNull()
    expect(srmP([1, 5], [0.1, 0.9])).toBeNull()
    expect(srmP([10, 12, 0], [0.5, 0.5, 0])).toBe(srmP([10, 12], [1, 1]))
  })
})

describe('several questions at once', () => {
  it("is adjusted as statsmodels' multipletests does", { timeout: installMs }, () => {
    const random = randomFrom(3)
    const trials = Array.from({ length: 40 }, (_, t) =>
      Array.from({ length: 1 + (t % 9) }, () => random() ** 3),
    )
    const names = { bonferroni: 'bonferroni', holm: 'holm', 'benjamini-hochberg': 'fdr_bh' }
    const wanted = runPython(
      `
import json, sys
from statsmodels.stats.multitest import multipletests
print(json.dumps([{k: multipletests(p, method=m)[1].tolist() for k, m in (("bonferroni", "bonferroni"), ("holm", "holm"), ("benjamini-hochberg", "fdr_bh"))} for p in json.load(sys.stdin)]))`,
      trials,
      oracle,
      'experiments',
    ) as Record<keyof typeof names, number[]>[]
    trials.forEach((p, t) => {
      for (const how of Object.keys(names) as (keyof typeof names & Adjustment)[])
        adjusted(p, how).forEach((value, k) => {
          close(value, wanted[t][how][k], 1e-12)
        })
    })
  })

  it('leaves out what is not known', () => {
    expect(adjusted([0.01, null, 0.03], 'holm')).toEqual([0.02, null, 0.03])
    expect(adjusted([0.01, null, 0.03], 'none')).toEqual([0.01, null, 0.03])
    expect(adjusted([null], 'benjamini-hochberg')).toEqual([null])
  })
})

describe('verdicts', () => {
  const between = (low: number, high: number) => ({
    effect: (low + high) / 2,
    low,
    high,
    p: null,
    reason: '',
  })
  it('a guardrail passes within its margin, fails beyond it, and is open between', () => {
    expect(guardrailOf(between(-0.01, 0.02), 0.02, true)).toBe('pass')
    expect(guardrailOf(between(-0.03, 0.02), 0.02, true)).toBe('open')
    expect(guardrailOf(between(-0.05, -0.03), 0.02, true)).toBe('fail')
    // reports: more is worse
    expect(guardrailOf(between(-0.01, 0.01), 0.02, false)).toBe('pass')
    expect(guardrailOf(between(0.03, 0.05), 0.02, false)).toBe('fail')
    const none = { effect: null, low: null, high: null, p: null, reason: 'the arm has no users' }
    expect(guardrailOf(none, 0.02, true)).toBe('open')
    expect(guardrailOf({ low: null, high: null }, 0.02, false)).toBe('open')
  })

  it('that nobody has shown anything of passes once there are users enough to have shown it', () => {
    const all = (n: number, mean: number) => ({ n, mean, variance: 0 })
    const verdict = (n: number, margin: number) =>
      guardrailOf(alikeRange(all(n, 0), all(n, 0), 0.05), margin, false)
    expect([100, 1_000, 10_000].map(n => verdict(n, 0.01))).toEqual(['open', 'open', 'pass'])
    expect(verdict(10_000, 0.0005)).toBe('open')
    const { low, high } = alikeRange(all(500, 1), all(500, 0.5), 0.05)
    expect(high).toBeLessThan(1)
    expect(low).toBeGreaterThan(0.45)
    expect(alikeRange(all(0, 0), { n: 0, mean: null, variance: null }, 0.05).low).toBeNull()
  })

  it('a rate is called impossible only where so many users without it are that rare', () => {
    for (const rate of [0.2, 0.02, 0.002]) {
      const isOut = (n: number): boolean => {
        const nothing = { n, mean: 0, variance: 0 }
        return Number(alikeRange(nothing, { ...nothing, n: 1e12 }, 0.05).high) < rate
      }
      let n = 1
      while (!isOut(n)) n++
      // whoever looks after every user has only this one chance to be wrong
      expect((1 - rate) ** n).toBeLessThan(0.025)
      expect(n * rate).toBeLessThan(20)
    }
  })

  it('ships what is surely better and harms nothing, stops what is broken or harms', () => {
    const base = { srmAlarm: false, guardrails: [], declared: [], alpha: 0.05 } as const
    const better = { p: 0.01, better: true }
    expect(verdictOf(base)).toBe('hold')
    expect(verdictOf({ ...base, declared: [better] })).toBe('ship')
    expect(verdictOf({ ...base, declared: [better, { p: 0.2, better: false }] })).toBe('ship')
    expect(verdictOf({ ...base, declared: [better, { p: 0.02, better: false }] })).toBe('stop')
    expect(verdictOf({ ...base, declared: [better], guardrails: ['pass', 'open'] })).toBe('hold')
    expect(verdictOf({ ...base, declared: [better], guardrails: ['fail'] })).toBe('stop')
    expect(verdictOf({ ...base, declared: [better], srmAlarm: true })).toBe('stop')
    expect(verdictOf({ ...base, declared: [{ p: null, better: true }] })).toBe('hold')
  })
})
