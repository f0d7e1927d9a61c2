/** `evaluatePrequential` against a second implementation, and its arithmetic against published values. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { importLog } from '../../replay/import/import.ts'
import { evaluatePrequential, type PrequentialRun } from '../../replay/prequential/evaluate.ts'
import { gain, type Part } from '../../replay/prequential/metrics.ts'
import { report } from '../../replay/prequential/report.ts'
import { TopTen } from '../../replay/prequential/top.ts'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { oracle } from './oracle.ts'

const { values: options } = resolveOptions(topologyOptions, {
  flags: {},
  environment: {},
  file: {},
})

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'freshet-quality-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

interface Rating {
  readonly user: string
  readonly item: string
  readonly rating: number
  readonly ts: number
}

/** Ratings of few users and items, some doubled, some of the same second, out of order in the file. */
function ratings(n: number, seed: number, items = 40): Rating[] {
  const random = randomFrom(seed)
  const upTo = (most: number) => Math.floor(random() * most)
  let ts = 1_400_000_000
  return Array.from({ length: n }, () => {
    ts += [0, 0, 50, 4_000, 40_000][upTo(5)]
    const item = `m${Math.floor(items * random() ** 2)}`
    return { user: `u${upTo(9)}`, item, rating: 5 + upTo(6), ts }
  })
}

function write(all: readonly Rating[], catalog?: readonly string[]): string {
  const file = join(dir, 'ratings.dat')
  const lines = all.map(({ user, item, rating, ts }) => `${user}::${item}::${rating}::${ts}`)
  writeFileSync(file, lines.join('\n'))
  if (catalog)
    writeFileSync(
      join(dir, 'movies.dat'),
      catalog.map(id => `${id}::Film ${id} (2014)::Drama`).join('\n'),
    )
  return file
}

const evaluate = (file: string, more: { activeWithinMs?: number; scoreEvery?: number } = {}) =>
  evaluatePrequential({
    log: importLog(file, { format: 'movietweetings' }),
    options,
    partitions: 1,
    scoreEvery: 1,
    ...more,
  })

/** The run's figures in the oracle's words, of the rankers that it has. */
function figures(run: PrequentialRun, part: Part) {
  const total = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x, 0)
  const n = total(run.predicted[part])
  const rows = [...run.sums].filter(([name]) => name !== 'blend' && name !== 'embedding')
  return Object.fromEntries(
    rows.map(([name, sums]) => {
      const [recall, ndcg, mrr] = sums.gains[part].map(total)
      return [name, { n, recall, ndcg, mrr, listed: sums.distinct(part) }]
    }),
  )
}

describe('prequential evaluation equals a plain recount', () => {
  const catalog = Array.from({ length: 12 }, (_, i) => `m${i * 5}`)
  it.each([
    { name: 'all items', more: {}, catalog: undefined },
    { name: 'with a catalog', more: {}, catalog },
    { name: 'items active within a day', more: { activeWithinMs: 86_400_000 }, catalog },
    { name: 'every third event', more: { scoreEvery: 3 }, catalog: undefined },
  ])('$name', async ({ more, catalog: films }) => {
    for (const seed of [1, 2]) {
      const all = ratings(260, seed)
      const shuffled = [...all].sort((a, b) => (a.ts === b.ts ? 0 : a.user < b.user ? -1 : 1))
      const run = await evaluate(write(shuffled, films), more)
      const byTime = [...shuffled].sort((a, b) => a.ts - b.ts)
      const positives = byTime.filter(({ rating }) => rating >= 8)
      const expected = oracle({
        events: positives.map(each => ({ ...each, ts: each.ts * 1000 })),
        catalog: films ?? [],
        halfLivesMs: run.halfLivesMs,
        scoreEvery: 1,
        ...more,
      })
      expect(run.events).toBe(positives.length)
      expect(run.items).toBe(expected.items)
      for (const part of ['all', 'secondHalf', 'newItems'] as const) {
        const found = figures(run, part)
        for (const [name, { listed, ...sums }] of Object.entries(expected.answer[part])) {
          const { listed: foundListed, ...foundSums } = found[name]
          expect({ name, part, ...foundSums, listed: foundListed }).toEqual({
            ...{ name, part, listed: listed.size },
            ...Object.fromEntries(
              Object.entries(sums).map(([key, value]) => [key, expect.closeTo(value, 6)]),
            ),
          })
        }
      }
    }
  })
})

describe('what a run says', () => {
  it('holds no number that is none, and the same twice', async () => {
    const file = write(ratings(200, 5))
    const [one, other] = [report(await evaluate(file)), report(await evaluate(file))]
    for (const scorer of Object.values(one.scorers))
      for (const part of [scorer.all, scorer.secondHalf])
        for (const value of Object.values(part)) expect(value).toBeGreaterThanOrEqual(0)
    const { msAPrediction: _a, msAnEventLearnt: _b, ...said } = one
    const { msAPrediction: _c, msAnEventLearnt: _d, ...again } = other
    expect(again).toEqual(said)
  })

  it('one item: everyone after the first finds it first', async () => {
    const all = ['a', 'b', 'c', 'd'].map((user, k) => ({ user, item: 'm', rating: 9, ts: 1e9 + k }))
    const found = report(await evaluate(write(all)))
    expect(found.events).toBe(4)
    for (const scorer of Object.values(found.scorers))
      expect(scorer.all).toEqual({
        ...{ n: 3, 'recall@10': 1, 'ndcg@10': 1, 'mrr@10': 1, coverage: 1 },
      })
    expect(found.newItems.blend.n).toBe(1)
  })

  it('one user: nothing known can be new to them, and there is no interval', async () => {
    const all = ['m', 'n', 'o', 'm'].map((item, k) => ({ user: 'u', item, rating: 9, ts: 1e9 + k }))
    const found = report(await evaluate(write(all, ['m', 'n', 'o', 'p'])))
    expect(found.events).toBe(4)
    expect(found.scorers.blend.all.n).toBe(0)
    expect(found.newItems.popularity).toEqual({
      ...{ n: 3, 'recall@10': 1, coverage: 1, 'ndcg@10': expect.closeTo(1, 9), 'mrr@10': 1 },
    })
    expect(found.intervals.blend.all['recall@10']).toBeNull()
  })

  it('equal times: the order of the file', async () => {
    const all = ['a', 'b', 'c'].map(user => ({ user, item: 'm', rating: 9, ts: 1e9 }))
    const found = report(await evaluate(write(all)))
    expect(found.scorers.popularity.all).toMatchObject({ n: 2, 'recall@10': 1 })
  })

  it('no positives: a sentence', async () => {
    const file = write([{ user: 'u', item: 'm', rating: 3, ts: 1e9 }])
    await expect(evaluate(file)).rejects.toThrow('none of the 1 rows is positive (rating >= 8)')
  })

  it('Q4: a holdout is learnt from like all others', async () => {
    const log = importLog(write(ratings(200, 5)), { format: 'movietweetings' })
    const of = async (share: number) => {
      const held = { ...options, 'explore.holdout': share }
      return report(await evaluatePrequential({ log, options: held, partitions: 1, scoreEvery: 1 }))
    }
    expect((await of(1)).scorers).toEqual((await of(0)).scorers)
  })

  describe('retrieved', () => {
    const few = { ...options, 'topk.candidates': 1 }

    // but for the first 150 events, where shares among all and among the retrieved differ
    it('where the sources name every item, it is the blend', async () => {
      const file = write(ratings(300, 4))
      for (const more of [{}, { activeWithinMs: 86_400_000 }]) {
        const found = report(await evaluate(file, more))
        const { blend, retrieved } = found.scorers
        expect(retrieved.all.n).toBe(blend.all.n)
        expect(found.retrieval.all.lost).toBe(0)
        for (const metric of ['recall@10', 'ndcg@10'] as const)
          expect(Math.abs(retrieved.all[metric] - blend.all[metric])).toBeLessThan(0.02)
        const { recall, bySource } = found.retrieval.all
        const sum = Object.values(bySource).reduce((all, share) => all + share, 0)
        expect(sum).toBeCloseTo(recall, 9)
        // an item without a recent event is no candidate of the question, whatever the sources say
        if ('activeWithinMs' in more) expect(recall).toBeLessThan(1)
        else expect(recall).toBe(1)
      }
    })

    it('a candidate a source: what they do not name is nowhere', async () => {
      const log = importLog(write(ratings(300, 4, 90)), { format: 'movietweetings' })
      const run = await evaluatePrequential({ log, options: few, partitions: 1, scoreEvery: 1 })
      const { retrieval, scorers } = report(run)
      expect(retrieval.all.candidates).toBeGreaterThan(1)
      expect(retrieval.all.candidates).toBeLessThanOrEqual(5)
      expect(retrieval.all.recall).toBeLessThan(0.6)
      // with fewer than ten candidates each of them is among the ten
      expect(scorers.retrieved.all['recall@10']).toBeCloseTo(retrieval.all.recall, 9)
    })
  })

  it('several partitions: the same events, and figures that are near', async () => {
    const file = write(ratings(300, 9))
    const log = importLog(file, { format: 'movietweetings' })
    const one = report(await evaluate(file))
    const four = report(await evaluatePrequential({ log, options, partitions: 4, scoreEvery: 1 }))
    expect(four.scorers.blend.all.n).toBe(one.scorers.blend.all.n)
    const recall = (found: typeof one) => found.scorers.popularity.all['recall@10']
    expect(Math.abs(recall(four) - recall(one))).toBeLessThan(0.1)
  })
})

describe('arithmetic', () => {
  it('NDCG of one right item is the discount at its place (Wikipedia, Discounted cumulative gain)', () => {
    const discounts = [1, 1.585, 2, 2.322, 2.585, 2.807]
    discounts.forEach((log2, k) => {
      expect(gain('ndcg@10', k + 1)).toBeCloseTo(1 / log2, 3)
    })
    expect(gain('ndcg@10', 10)).toBeCloseTo(0.28906, 5)
  })

  it('beyond the tenth place nothing is gained', () => {
    for (const metric of ['recall@10', 'ndcg@10', 'mrr@10'] as const) {
      expect(gain(metric, 1)).toBe(1)
      expect(gain(metric, 11)).toBe(0)
      expect(gain(metric, 0)).toBe(0)
    }
    expect(gain('mrr@10', 4)).toBe(0.25)
    expect(gain('recall@10', 10)).toBe(1)
  })

  it('the ten best equal a full sort', () => {
    const random = randomFrom(3)
    const top = new TopTen()
    for (let round = 0; round < 300; round++) {
      const n = Math.floor(random() * 40)
      const items = Int32Array.from({ length: n }, (_, i) => i)
      const scores = Float64Array.from({ length: n }, () => {
        const pick = random()
        return pick < 0.05 ? Number.NaN : pick < 0.1 ? -Infinity : Math.floor(random() * 8)
      })
      const order = Int32Array.from(items, i => (i * 7919) % 41)
      const value = (i: number) => (Number.isNaN(scores[i]) ? -Infinity : scores[i])
      const sorted = [...items].sort((a, b) =>
        value(a) === value(b) ? order[a] - order[b] : value(b) - value(a),
      )
      top.choose(items, n, scores, order)
      expect([...top.items.subarray(0, top.size)]).toEqual(sorted.slice(0, 10))
    }
  })
})
