/** The logits that a model would have given, from a sampled list's row, against a recommender that it ranks for. */
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { featureCount } from '../../topologies/blend/features.ts'
import { BlendScorer } from '../../topologies/blend/scorer.ts'
import type { ModelHost } from '../../topologies/models/host.ts'
import type { ModelRunner } from '../../topologies/models/runner.ts'
import { cascadeScorer } from '../../topologies/models/scorer.ts'
import { FakeItems, fakeUser } from '../../topologies/topk/fakes.ts'
import { topkOptions } from '../../topologies/topk/options.ts'
import { Recommender } from '../../topologies/topk/recommend.ts'
import { slateRow } from '../../topologies/topk/slates-row.ts'
import { logitsBy } from './model-logits.ts'

const options = resolveOptions(topkOptions, { flags: {}, environment: {}, file: {} }).values
const pseudonym = { user: '~u', key: 'k' }

/** Weighs features, and differs by bucket. */
const runner = {
  score(
    matrix: ArrayLike<number>,
    n: number,
    bucket: number,
    scores: Float64Array,
    rows?: Int32Array,
  ) {
    for (let i = 0; i < n; i++) {
      const from = (rows?.[i] ?? i) * featureCount
      scores[i] = bucket / 7
      for (let f = 0; f < featureCount; f++)
        scores[i] += Math.fround(matrix[from + f]) * Math.sin(f + 1)
    }
  },
  logitOf: (score: number) => 2 * score,
  close: () => undefined,
} as unknown as ModelRunner

function items(learnt: number): FakeItems {
  const made = new FakeItems({ items: 400, seed: 5 })
  const random = randomFrom(3)
  made.blend.learnt = learnt
  for (let k = 0; k < made.blend.sets.length; k++) made.blend.sets[k] = random() - 0.4
  return made
}

function drawn(learnt: number, ranked: boolean) {
  const of = items(learnt)
  const host = {
    served: { runner, name: 'm', sha256: 'a'.repeat(64) },
    score: (
      _served: unknown,
      matrix: Float32Array,
      rows: Int32Array,
      n: number,
      bucket: number,
      scores: Float64Array,
    ) => {
      runner.score(matrix, n, bucket, scores, rows)
      return true
    },
  } as unknown as ModelHost
  const recommender = new Recommender(
    options,
    of,
    ranked ? capacity => cascadeScorer(new BlendScorer(capacity), host, 300, capacity) : undefined,
  )
  const user = fakeUser('u', [50, 90, 30])
  recommender.prepare(user, of.countedUntil, user.id)
  recommender.draw('home', user.id)
  return {
    recommender,
    row: JSON.parse(JSON.stringify(slateRow(recommender, pseudonym, 'home', 1))) as ReturnType<
      typeof slateRow
    >,
  }
}

describe('a model on the candidates of a sampled list', () => {
  it('gives the logits that it would have ranked by', () => {
    const logged = drawn(1_000, false)
    const served = drawn(1_000, true)
    const logits = logitsBy(runner, logged.row, 300)
    if (typeof logits === 'string') throw new Error(logits)
    const { traits } = served.recommender
    expect(traits.count).toBe(logged.row.candidates.length)
    const wanted = new Map(
      served.row.candidates.map(({ item }, i) => [item, traits.logit[i]] as const),
    )
    logged.row.candidates.forEach(({ item, weight }, i) => {
      expect(logits[i]).toBeCloseTo(wanted.get(item) ?? Number.NaN, 9)
      expect(logits[i]).not.toBe(weight)
    })
    // what a model ranked can be ranked by another, too
    expect(logitsBy(runner, served.row, 300)).toEqual(logits)
  })

  it('says why it can give none', () => {
    const { row } = drawn(1_000, false)
    expect(logitsBy(runner, drawn(10, false).row, 300)).toBe('ranked without features')
    expect(logitsBy(runner, { ...row, feature_hash: 'x' }, 300)).toBe('features of another version')
    expect(logitsBy(runner, row, 20)).toBe('more candidates than ranker.cascade')
    expect(logitsBy(runner, { ...row, log_weights: [0] }, 300)).toBe('features cut short')
    const broken = { ...runner, logitOf: () => Number.NaN } as unknown as ModelRunner
    expect(logitsBy(broken, row, 300)).toBe('the model gives what is no number')
  })
})
