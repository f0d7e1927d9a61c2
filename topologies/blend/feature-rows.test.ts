import { describe, expect, it } from 'vitest'
import { FakeItems } from '../topk/fakes.ts'
import { Content } from '../topk/retrieve/content.ts'
import { Covisit } from '../topk/retrieve/covisit.ts'
import { Embedding } from '../topk/retrieve/embedding.ts'
import { FeatureRows } from './feature-rows.ts'
import { featureCount, featureNames } from './features.ts'

const hour = 3_600_000

function rowsFor(items: FakeItems, history: readonly number[], means = [0, 0, 0]): Float64Array[] {
  const viewed = {
    items,
    history: Int32Array.from(history),
    length: history.length,
    perSource: 30,
    countedUntil: items.countedUntil,
  }
  const sources = { covisit: new Covisit(), embedding: new Embedding(), content: new Content() }
  sources.covisit.accumulate(viewed)
  sources.embedding.prepare(viewed)
  sources.content.prepare(viewed)
  const rows = new FeatureRows()
  rows.begin(viewed, sources, means)
  return Array.from({ length: items.size }, (_, item) => {
    const x = new Float64Array(featureCount)
    rows.write(item, x, 0)
    return x
  })
}

/** Every scorer of every item as the registry describes it, in plain sums over all pairs. */
function scorersOf(items: FakeItems, history: readonly number[]): Map<string, number[]> {
  const all = Array.from({ length: items.size }, (_, item) => item)
  const now = items.countedUntil
  const edge = (from: number, to: number, of: 'weights' | 'next' | 'recent'): number => {
    const row = items.neighbours(from)
    let sum = 0
    for (let n = 0; n < (row?.size ?? 0); n++) if (row!.items[n] === to) sum += row![of][n]
    return sum
  }
  const old = (from: number, halfLife: number): number =>
    2 ** (((items.neighbours(from)?.asOf ?? 0) - now) / halfLife)
  const over = (each: (a: number, k: number) => number): number =>
    history.slice(0, 24).reduce((sum, a, k) => sum + each(a, k), 0)
  const found = new Map<string, number[]>()
  ;['pop_6m', 'pop_1h', 'pop_12h', 'pop_4d', 'pop_30d'].forEach((name, h) => {
    found.set(
      name,
      all.map(i => (items.positives(i) > 0 ? items.decayed(h, i) : 0)),
    )
  })
  found.set(
    'pop_all',
    all.map(i => items.positives(i)),
  )
  const s = all.map(i => over((a, k) => 0.8 ** k * edge(a, i, 'weights')))
  const long = all.map(i =>
    over((a, k) => (0.97 ** k * edge(a, i, 'weights')) / (items.positives(a) + 5)),
  )
  found.set('covisit', s)
  found.set(
    'covisit_rare',
    s.map((x, i) => x / Math.sqrt(items.positives(i) + 5)),
  )
  found.set(
    'covisit_next',
    all.map(i => over((a, k) => 0.7 ** k * edge(a, i, 'next') * old(a, 6 * hour))),
  )
  found.set(
    'covisit_recent',
    all.map(i => over((a, k) => 0.7 ** k * edge(a, i, 'recent') * old(a, 336 * hour))),
  )
  found.set('covisit_long', long)
  found.set(
    'covisit_long_rare',
    long.map((x, i) => x / Math.sqrt(items.positives(i) + 5)),
  )
  return found
}

describe('features', () => {
  it('are what the registry says, by plain sums over all pairs of items', () => {
    const items = new FakeItems({ items: 300, seed: 1, bare: 0.2 })
    const history = [3, 250, 17, 17, 120, 9]
    const rows = rowsFor(items, history)
    const columns = new Set<string>()
    for (const [name, scores] of scorersOf(items, history)) {
      // the table gives sums and maxima of counts itself
      const h = ['pop_6m', 'pop_1h', 'pop_12h', 'pop_4d', 'pop_30d'].indexOf(name)
      const sum =
        name === 'pop_all'
          ? items.counted.positives
          : h >= 0
            ? items.decayedSum(h)
            : scores.reduce((a, b) => a + b, 0)
      const max =
        name === 'pop_all'
          ? items.counted.most
          : h >= 0
            ? items.decayed(h, items.popular(h, 1)[0])
            : Math.max(...scores)
      scores.forEach((score, item) => {
        const share =
          score > 0 ? Math.log((score * items.counted.items) / sum + 0.05) - Math.log(0.05) : 0
        const peak = Math.sqrt(Math.min(1, score / max))
        expect(rows[item][featureNames.indexOf(`${name}.share`)]).toBeCloseTo(share, 9)
        expect(rows[item][featureNames.indexOf(`${name}.peak`)]).toBeCloseTo(peak, 9)
      })
      columns.add(`${name}.share`).add(`${name}.peak`)
    }
    expect(columns.size).toBe(24)
  })

  it('of age and taste follow the formulas, and are 0 without a history', () => {
    const items = new FakeItems({ items: 50, seed: 2 })
    const means = [0.4, 2, -0.1]
    const rows = rowsFor(items, [4, 7], means)
    const now = items.countedUntil
    const values = (i: number): number[] => [
      Math.log(1 + items.positives(i)),
      Math.log(1 + (now - items.firstPositiveAt(i)) / hour),
      Math.log((60 * items.decayed(2, i) + 1) / (items.decayed(4, i) + 1)),
    ]
    const taste = [0, 1, 2].map(t => (values(4)[t] + values(7)[t]) / 2 - means[t])
    const first = featureNames.indexOf('taste.popular')
    for (let i = 0; i < items.size; i++) {
      taste.forEach((mean, t) => {
        expect(rows[i][first + t]).toBeCloseTo(0.1 * mean * values(i)[t], 9)
      })
      const at = featureNames.indexOf('item.age')
      expect(rows[i][at]).toBeCloseTo(0.1 * values(i)[1], 9)
      const idle = (now - items.lastPositiveAt(i)) / 60_000
      expect(rows[i][at + 1]).toBeCloseTo(0.1 * Math.log(1 + idle), 9)
      expect(rows[i][at + 2]).toBeCloseTo(0.1 * values(i)[0], 9)
    }
    for (const row of rowsFor(items, [], means))
      featureNames.forEach((name, at) => {
        if (/taste|covisit|embedding|content/.test(name)) expect(row[at]).toBe(0)
      })
  })

  it('of a stream whose counts have decayed to nothing are 0, never NaN', () => {
    const items = new FakeItems({ items: 40, seed: 3 })
    items.decayed = () => 1e-300
    items.decayedSum = () => 1e-290
    for (const row of rowsFor(items, [1, 2])) {
      expect(row.every(Number.isFinite)).toBe(true)
      expect(row[0]).toBe(0)
    }
  })
})
