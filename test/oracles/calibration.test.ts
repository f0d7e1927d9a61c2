/** Calibration and the figures of lists against scikit-learn, Student's t against scipy. */
import { describe, expect, it } from 'vitest'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { closedForms, reliability } from '../../topologies/calibration/reliability.ts'
import { type Reading, ScoreSums, sigmoid } from '../../topologies/calibration/sums.ts'
import { tQuantile } from '../../topologies/drift/statistics/student.ts'
import { ndcgAt, reciprocalRank } from '../../topologies/ledger/ranking.ts'
import { runTools } from './tools.ts'

interface Sample {
  readonly name: string
  readonly reading: Reading
  readonly scores: number[]
  readonly labels: number[]
}

const random = randomFrom(hash53('calibration'))
const normal = (): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** Well calibrated, shifted, with ties, with certain predictions, small, and of few positives. */
const samples: Sample[] = [
  ...Array.from({ length: 12 }, (_, k): Sample => {
    const n = [37, 100, 1003, 2500][k % 4]
    const reading: Reading = k % 2 ? 'logit' : 'probability'
    const scores: number[] = []
    const labels: number[] = []
    for (let i = 0; i < n; i++) {
      const z = normal() - (k < 6 ? 0 : 2)
      const shown = z * (k % 3 === 0 ? 1 : 1.7) + (k % 3 === 2 ? 0.5 : 0)
      const p = sigmoid(shown)
      scores.push(reading === 'logit' ? shown : k === 8 ? Math.round(p * 20) / 20 : p)
      labels.push(random() < sigmoid(z) ? 1 : 0)
    }
    // both labels are there, whatever chance did
    labels[0] = 1
    labels[1] = 0
    return { name: `sample ${k}`, reading, scores, labels }
  }),
  {
    name: 'certain and wrong',
    reading: 'probability',
    scores: [0, 1, 1, 0, 0.5, 0.25, 1, 0, 0.75, 0.5, 0.5],
    labels: [0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1],
  },
  {
    name: 'large logits',
    reading: 'logit',
    scores: [-80, 80, 40, -36, 0, 5, -5, 60, -60, 30, 700, -700],
    labels: [0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0],
  },
]

const script = `
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, ndcg_score
from scipy.stats import t
rows = []
for s in given['samples']:
    y = np.array(s['labels'])
    x = np.array(s['scores'], dtype=float)
    if s['reading'] == 'logit':
        p = np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))
    else:
        p = x
    # the bins that calibration_curve makes, and how many rows each has
    edges = np.percentile(p, np.linspace(0, 1, 11) * 100)
    ids = np.searchsorted(edges[1:-1], p)
    n = np.bincount(ids, minlength=10)
    n = n[n > 0]
    true, pred = calibration_curve(y, p, n_bins=10, strategy='quantile')
    rate = y.mean()
    q = np.clip(p, 1e-15, 1 - 1e-15)
    loss = float(np.mean(np.where(y == 1, -np.log(q), -np.log1p(-q))))
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    rows.append({
        'true': true.tolist(), 'pred': pred.tolist(), 'n': n.tolist(),
        'ece': float(np.sum(n * np.abs(true - pred)) / len(y)),
        'reliability': float(np.sum(n * (true - pred) ** 2) / len(y)),
        'resolution': float(np.sum(n * (true - rate) ** 2) / len(y)),
        'brier': float(brier_score_loss(y, p)), 'loss': loss,
        'entropy': float(loss / entropy), 'expected': float(p.sum() / y.sum()),
        'uncertainty': float(rate * (1 - rate)),
    })
lists = [float(ndcg_score([g], [list(range(len(g), 0, -1))], k=10)) if sum(g) > 0 else 0.0 for g in given['lists']]
out = {'samples': rows, 'lists': lists, 't': [float(t.ppf(.975, df)) for df in given['df']]}
`

interface Told {
  readonly samples: readonly {
    readonly true: number[]
    readonly pred: number[]
    readonly n: number[]
    readonly ece: number
    readonly reliability: number
    readonly resolution: number
    readonly brier: number
    readonly loss: number
    readonly entropy: number
    readonly expected: number
    readonly uncertainty: number
  }[]
  readonly lists: readonly number[]
  readonly t: readonly number[]
}

const unit = 2 ** -30
const lists = Array.from({ length: 40 }, (_, k) =>
  Array.from({ length: 2 + (k % 15) }, () =>
    random() < 0.6 ? 0 : Math.round(random() / unit) * unit,
  ),
)
const df = Array.from({ length: 63 }, (_, k) => k + 1)

describe('calibration', () => {
  const told = runTools(script, { samples, lists, df }) as Told
  const close = (found: number | null, wanted: number, what: string): void =>
    expect(Math.abs((found ?? Number.NaN) - wanted), what).toBeLessThan(
      1e-9 * Math.max(1e-3, Math.abs(wanted)),
    )

  it.each(samples.map((sample, k) => [sample.name, k]))(
    'of %s is that of scikit-learn',
    (name, k) => {
      const { reading, scores, labels } = samples[Number(k)]
      const wanted = told.samples[Number(k)]
      const what = String(name)
      const predictions = Float64Array.from(scores, s => (reading === 'logit' ? sigmoid(s) : s))
      const found = reliability(predictions, Float64Array.from(labels))
      expect(found.bins.map(({ n }) => n)).toEqual(wanted.n)
      found.bins.forEach((bin, b) => {
        close(bin.meanPrediction, wanted.pred[b], what)
        close(bin.meanLabel, wanted.true[b], what)
      })
      close(found.ece, wanted.ece, what)
      close(found.reliability, wanted.reliability, what)
      close(found.resolution, wanted.resolution, what)

      // sums from both ends, merged: they know no order
      const parts = [new ScoreSums(), new ScoreSums()]
      scores.forEach((score, i) => {
        parts[i % 2].add(score, labels[i] === 1)
      })
      parts[1].merge(parts[0])
      const forms = closedForms(parts[1].totals(reading))
      close(forms.brier, wanted.brier, what)
      close(forms.logLoss, wanted.loss, what)
      close(forms.normalisedEntropy, wanted.entropy, what)
      close(forms.expectedObserved, wanted.expected, what)
      close(forms.uncertainty, wanted.uncertainty, what)
    },
  )

  it('has no entropy where all labels are alike, and says so', () => {
    const sums = new ScoreSums()
    for (const p of [0.2, 0.9, 1]) sums.add(p, true)
    const forms = closedForms(sums.totals('probability'))
    expect(forms.normalisedEntropy).toBeNull()
    expect(forms.reason).toMatch(/all labels are positive/)
    expect(forms.expectedObserved).toBeCloseTo(0.7, 12)
    expect(closedForms(new ScoreSums().totals('logit'))).toMatchObject({
      brier: null,
      reason: 'no usable score',
    })
    const never = new ScoreSums()
    never.add(0.3, false)
    expect(closedForms(never.totals('probability')).expectedObserved).toBeNull()
  })

  it('NDCG at 10 is that of scikit-learn', () => {
    lists.forEach((gains, k) => {
      const list = gains.map((gain, position) => ({ position, gain: gain / unit, positive: false }))
      close(ndcgAt(10, list.reverse()), told.lists[k], JSON.stringify(gains))
    })
  })

  it('the reciprocal rank is that of the first positive, by position', () => {
    const at = (position: number, positive: boolean) => ({ position, gain: 1, positive })
    expect(reciprocalRank([at(7, true), at(0, false), at(3, true)])).toBe(0.25)
    expect(reciprocalRank([at(0, false)])).toBe(0)
  })

  it("Student's quantiles are scipy's", () => {
    df.forEach((each, k) => {
      close(tQuantile(0.05, each), told.t[k], `df ${each}`)
    })
  })
})
