/**
 * What a pushed model gains and costs behind the blend, by how many of the blend's best it ranks again: on MovieTweetings,
 * in lockstep. Trees are trained on questions of the first half (each positive against 20 unseen items), pushed through the
 * check as any model, and asked in the second half: all unseen items are candidates, the blend ranks them, the model its best.
 */
import { join } from 'node:path'
import { importLog } from '../../replay/import/import.ts'
import { openLockstep } from '../../replay/lockstep/lockstep.ts'
import { ask, History } from '../../replay/prequential/rankers.ts'
import { resolveOptions } from '../../streams/options.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { featureCount, featureNames } from '../../topologies/blend/features.ts'
import { BlendScorer } from '../../topologies/blend/scorer.ts'
import { bucketOf } from '../../topologies/learner/positive.ts'
import { checkModel } from '../../topologies/models/check.ts'
import { featureSet } from '../../topologies/models/features.ts'
import { openRuntime } from '../../topologies/models/onnxruntime.ts'
import { type ModelRunner, openModel } from '../../topologies/models/runner.ts'
import { takeBest } from '../../topologies/models/scorer.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { Filter } from '../../topologies/topk/filter.ts'
import { Candidates } from '../../topologies/topk/retrieve/candidates.ts'
import { Content } from '../../topologies/topk/retrieve/content.ts'
import { Covisit } from '../../topologies/topk/retrieve/covisit.ts'
import { Embedding } from '../../topologies/topk/retrieve/embedding.ts'
import type { Evidence } from '../../topologies/topk/score.ts'
import { howToGetIt, realLog } from '../e2e/rating-log.ts'
import { trainedTrees } from '../support/foreign-models.ts'

const depths = [100, 300, 1_000, 10_000]
const capacity = 16_384
const negatives = 20
/** Questions of which the trees learn, and by which they are judged. */
const training = { from: 8_000, every: 8 }
const judged = { every: 25 }

interface Sum {
  reached: number
  hits: number
  gain: number
  same: number
  blendMs: number
  modelMs: number
}

export async function cascade(): Promise<void> {
  if (realLog === undefined) {
    console.log(`cascade: ${howToGetIt}`)
    return
  }
  const log = importLog(join(realLog, 'ratings.dat'), { format: 'movietweetings' })
  const { values } = resolveOptions(topologyOptions, { flags: {}, environment: {}, file: {} })
  const lockstep = await openLockstep({ options: values, partitions: 1, startAt: log.from - 1 })
  const { items } = lockstep
  const history = new History()
  const sources = { covisit: new Covisit(), embedding: new Embedding(), content: new Content() }
  const filter = new Filter(items, false)
  const scorer = new BlendScorer(capacity)
  const known: number[] = []
  const knownIds = new Set<string>()
  const seen = new Map<string, Set<number>>()
  const rows: number[][] = []
  const labels: number[] = []
  const random = randomFrom(hash53('cascade', 1))
  const half = [...log.positives()].length / 2
  let model: ModelRunner | undefined
  const sums = depths.map(
    (): Sum => ({ reached: 0, hits: 0, gain: 0, same: 0, blendMs: 0, modelMs: 0 }),
  )
  const blendAlone = { hits: 0, gain: 0 }
  let questions = 0
  let candidatesSum = 0

  const evidenceOf = (userId: string, at: number, listed: readonly number[]): Evidence => {
    const user = lockstep.user(userId)
    const asked = ask(items, history.of(user).items, history.of(user).length)
    filter.begin(user ?? null, at)
    const candidates = new Candidates(listed.length)
    candidates.items.set(listed)
    candidates.count = listed.length
    sources.covisit.accumulate(asked)
    sources.embedding.prepare(asked)
    sources.content.prepare(asked)
    const n = user?.positives.length ?? 0
    const bucket = bucketOf(n, n > 0 && user ? at - user.positives.at(0) : 0)
    return { ask: asked, candidates, filter, bucket, ...sources }
  }

  const learnFrom = (
    userId: string,
    at: number,
    target: number,
    unseen: readonly number[],
  ): void => {
    const listed = [target]
    while (listed.length <= negatives) listed.push(unseen[Math.floor(random() * unseen.length)])
    scorer.fill(evidenceOf(userId, at, listed))
    for (const i of listed.keys()) {
      rows.push([...scorer.features.subarray(i * featureCount, (i + 1) * featureCount)])
      labels.push(i === 0 ? 1 : 0)
    }
  }

  const judge = (
    userId: string,
    at: number,
    target: number,
    unseen: readonly number[],
    runner: ModelRunner,
  ): void => {
    questions++
    candidatesSum += unseen.length
    const logits = new Float64Array(unseen.length)
    const evidence = evidenceOf(userId, at, unseen)
    scorer.score(evidence, logits)
    const place = unseen.indexOf(target)
    const blendPlace = placeOf(logits, place)
    if (blendPlace < 10) {
      blendAlone.hits++
      blendAlone.gain += 1 / Math.log2(blendPlace + 2)
    }
    const all = new Float64Array(unseen.length)
    runner.score(scorer.features, unseen.length, evidence.bucket, all)
    const best = bestTen(all)
    const order = new Int32Array(unseen.length)
    for (const [d, depth] of depths.entries()) {
      const n = takeBest(logits, unseen.length, depth, order)
      const sum = sums[d]
      const kept = new Set(order.subarray(0, n))
      if (kept.has(place)) sum.reached++
      const ranked = all.map((score, i) => (kept.has(i) ? score : Number.NEGATIVE_INFINITY))
      const modelPlace = kept.has(place) ? placeOf(ranked, place) : Number.POSITIVE_INFINITY
      if (modelPlace < 10) {
        sum.hits++
        sum.gain += 1 / Math.log2(modelPlace + 2)
      }
      for (const i of bestTen(ranked)) if (best.has(i)) sum.same++
    }
    // a list of that many candidates: computed, scored by the blend, ranked by the model
    for (const [d, depth] of depths.entries()) {
      const n = takeBest(logits, unseen.length, depth, order)
      const listed = evidenceOf(
        userId,
        at,
        [...order.subarray(0, n)].map(i => unseen[i]),
      )
      const scores = new Float64Array(n)
      const start = performance.now()
      scorer.score(listed, scores)
      const scored = performance.now()
      runner.score(scorer.features, n, listed.bucket, scores)
      sums[d].blendMs += scored - start
      sums[d].modelMs += performance.now() - scored
    }
  }

  let n = 0
  for (const play of log.positives()) {
    lockstep.advance(play.ts)
    if (n >= half && model === undefined) model = train(rows, labels)
    const mine = seen.get(play.userId) ?? new Set<number>()
    seen.set(play.userId, mine)
    const isKnown = knownIds.has(play.itemId)
    const target = isKnown ? items.index(play.itemId) : -1
    if (isKnown && !mine.has(target)) {
      const isLesson = n < half && n >= training.from && n % training.every === 0
      const isAsked = n >= half && n % judged.every === 0
      if (isLesson || isAsked) {
        const unseen = known.filter(item => !mine.has(item))
        if (isLesson) learnFrom(play.userId, play.ts, target, unseen)
        else if (model) judge(play.userId, play.ts, target, unseen, model)
      }
    }
    lockstep.sendEvent({ ...play, ...{ type: 'watch', eventId: `${n}`, playId: `${n}` } })
    n++
    const item = items.index(play.itemId)
    mine.add(item)
    if (!isKnown) {
      knownIds.add(play.itemId)
      known.push(item)
    }
  }
  const share = (of: number): string => (of / questions).toFixed(4)
  console.log(
    `cascade: ${questions} questions of the second half, ${Math.round(candidatesSum / questions)} unseen items each; blend alone recall@10 ${share(blendAlone.hits)}, NDCG@10 ${share(blendAlone.gain)}`,
  )
  for (const [d, depth] of depths.entries()) {
    const { reached, hits, gain, same, blendMs, modelMs } = sums[d]
    console.log(
      `cascade ${String(depth).padStart(6)}: next item among them ${share(reached)}  recall@10 ${share(hits)}  NDCG@10 ${share(gain)}  of the model's own best ten ${share(same / 10)}  ms a list: blend ${(blendMs / questions).toFixed(2)}, model ${(modelMs / questions).toFixed(2)}`,
    )
  }
}

function train(rows: number[][], labels: number[]): ModelRunner {
  const bytes = trainedTrees(rows, labels)
  const { refusals, msPer1000Rows } = checkModel(bytes, {
    features: featureSet(),
    open: openRuntime(),
    maxBytes: 1 << 26,
    budgetMs: 1_000,
    elapsedMs: () => performance.now(),
  })
  const opened = openModel(bytes, featureSet(), openRuntime())
  if ('refusals' in opened)
    throw new Error(`the trees are refused: ${JSON.stringify([...refusals, ...opened.refusals])}`)
  console.log(
    `cascade: trees of ${bytes.length} bytes from ${labels.length} rows of ${featureNames.length} features, ${msPer1000Rows.toFixed(2)} ms for 1,000 rows`,
  )
  return opened.runner
}

/** How many are before it; equal ones count half. */
function placeOf(scores: ArrayLike<number>, at: number): number {
  let before = 0
  let equal = 0
  for (let i = 0; i < scores.length; i++)
    if (scores[i] > scores[at]) before++
    else if (scores[i] === scores[at]) equal++
  return before + (equal - 1) / 2
}

function bestTen(scores: Float64Array): Set<number> {
  const order = new Int32Array(scores.length)
  const n = takeBest(scores, scores.length, 10, order)
  return new Set(order.subarray(0, n))
}
