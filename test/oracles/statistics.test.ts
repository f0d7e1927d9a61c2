/** The statistics under the profiles against scipy and scikit-learn: exact p-values, AUC, the discriminant's separation. */
import { beforeAll, describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { auc } from '../../topologies/drift/statistics/auc.ts'
import { contingency } from '../../topologies/drift/statistics/contingency.ts'
import { ksOf } from '../../topologies/drift/statistics/ks-samples.ts'
import { chi2Survival } from '../../topologies/drift/statistics/special.ts'
import { runTools } from './tools.ts'

const close = (ours: number, theirs: number, relative: number, what: string) =>
  expect(Math.abs(ours - theirs), what).toBeLessThanOrEqual(
    Math.max(relative * Math.abs(theirs), 1e-300),
  )

/** Sorted sides of sizes from 1 to 5,000, with ties and without. */
const ksPairs = Array.from({ length: 80 }, (_, k) => {
  const draw = randomFrom(k + 1)
  const sizes = [1, 2, 3, 10, 37, 128, 700, 5000]
  const n = sizes[k % 8]
  const m = k % 3 === 0 ? n : sizes[Math.floor(8 * draw())]
  const by = [0, 0.02, 0.1, 0.4, 0.9][k % 5]
  const whole = k % 4 === 0 ? 20 : 2 ** 40
  const side = (size: number, moved: number) =>
    Array.from({ length: size }, () => Math.floor((draw() + moved) * whole)).sort((a, b) => a - b)
  return [side(n, 0), side(m, by)]
})

const scores = Array.from({ length: 40 }, (_, k) => {
  const draw = randomFrom(k + 500)
  const steps = k % 2 === 0 ? 7 : 2 ** 30
  const side = (size: number, power: number) =>
    Array.from({ length: size }, () => Math.floor(draw() ** power * steps))
  return [side(1 + Math.floor(200 * draw()), 1), side(1 + Math.floor(90 * draw()), 1 + (k % 5) / 3)]
})

const tables = Array.from({ length: 40 }, (_, k) => {
  const draw = randomFrom(k + 900)
  const columns = 1 + (k % 9)
  return [0, 1].map(() =>
    Array.from({ length: columns }, () => 1 + Math.floor(10 ** (1 + (k % 3)) * draw())),
  )
})
const tails = [0.001, 0.5, 3, 20, 150, 700].flatMap(x => [1, 2, 7, 40, 399].map(df => [x, df]))

let answers: Record<'ks' | 'auc' | 'tables', number[][]> & { tails: number[] }

beforeAll(() => {
  answers = runTools(script, { ksPairs, scores, tables, tails }) as typeof answers
}, 300_000)

describe('against scipy and scikit-learn', () => {
  it('KS: D and the exact p, down to 1e-100', () => {
    let smallest = 1
    ksPairs.forEach(([a, b], i) => {
      const { d, p } = ksOf(a, b)
      const what = `${a.length}:${b.length}`
      close(d, answers.ks[i][0], 1e-12, what)
      close(p, answers.ks[i][1], 1e-6, what)
      if (p > 0) smallest = Math.min(smallest, p)
    })
    expect(smallest).toBeLessThan(1e-100)
  })

  it('AUC, ties being half: scikit-learn and Mann-Whitney', () => {
    scores.forEach(([a, b], i) => {
      for (const theirs of answers.auc[i]) close(auc(a, b), theirs, 1e-12, `${i}`)
    })
  })

  it('chi-square of tables, with and without Yates, and its tail', () => {
    tables.forEach(([a, b], i) => {
      const { statistic, p } = contingency(a, b)
      expect(Math.abs(statistic - answers.tables[i][0])).toBeLessThan(1e-9 * (1 + statistic))
      close(p, answers.tables[i][1], 1e-6, `${i}`)
    })
    tails.forEach(([x, df], i) => {
      close(chi2Survival(x, df), answers.tails[i], 1e-9, `${x} ${df}`)
    })
  })
})

const script = `
import scipy.stats
from sklearn.metrics import roc_auc_score
out = {'ks': [list(scipy.stats.ks_2samp(a, b)[:2]) for a, b in given['ksPairs']],
       'auc': [[roc_auc_score([0] * len(a) + [1] * len(b), a + b),
                scipy.stats.mannwhitneyu(b, a).statistic / len(a) / len(b)] for a, b in given['scores']],
       'tables': [list(scipy.stats.chi2_contingency(t)[:2]) for t in given['tables']],
       'tails': [scipy.stats.chi2.sf(x, df) for x, df in given['tails']]}
`
