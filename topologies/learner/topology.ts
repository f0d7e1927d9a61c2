/**
 * The learner: one task that learns from all positives, and publishes what every process ranks with.
 *
 * One learner instead of a sharded parameter server: no gradient traffic, no staleness, and it repeats. What is learnt
 * here is soft: a crash forgets at most a publish interval of it, and the ring of recent targets fills again.
 * Whatever else learns from a positive (the blend) stands beside the embeddings and gets the same positive and chance.
 */
import type { OptionValues } from '../../streams/options.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { Stage, TaskContext, TaskKind } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { BlendLearner } from '../blend/learner.ts'
import type { ItemTable } from '../items/table.ts'
import { type ResponseOptions, responseLearnerStage } from '../response/learner-stage.ts'
import { ContentStart, type ContentTable } from './content.ts'
import type { learnerOptions } from './options.ts'
import { emptyPositive, historyLength, positivesChannel, readPositive } from './positive.ts'
import { learnerStores } from './rows.ts'
import { RateSample } from './sample.ts'
import { LearntVectors } from './vectors.ts'

const contentSweepMs = 10_000
/** A start by content costs up to a millisecond at 20,000 items. */
const startsPerBudgetMs = 1

interface ProgressRow extends Row {
  /** Positives received, sampled out ones too: the number that seeds the next one's chance. */
  received: number
}

export function learnerKind(
  options: OptionValues<typeof learnerOptions> & ResponseOptions,
): TaskKind<never> {
  return {
    name: 'learner',
    inputs: [],
    partitions: 1,
    deltas: true,
    commitIntervalMs: options['learner.commitInterval'],
    tables: ['items'],
    create: ctx => ({
      decode: () => 'skip',
      stages: [learnerStage(options, ctx), responseLearnerStage(options, ctx)],
    }),
  }
}

export function learnerStage(
  options: OptionValues<typeof learnerOptions>,
  ctx: Pick<TaskContext, 'now' | 'table' | 'metrics'>,
): Stage<never> {
  const seed = options['learner.seed']
  const vectors = new LearntVectors({
    seed,
    learningRate: options['learner.learningRate'],
    negatives: options['learner.negatives'],
    recentPool: options['learner.recentPool'],
    publishIntervalMs: options['learner.publishInterval'],
    publishThreshold: options['learner.publishThreshold'],
  })
  const { embeddings } = vectors
  const items = ctx.table<ContentTable & ItemTable>('items')
  const content = new ContentStart(items, vectors)
  const blend = new BlendLearner(items, options['learner.publishInterval'])
  const sample = new RateSample(options['learner.maxPerSecond'], options['learner.share'])
  const progress: ProgressRow = { dirty: false, removed: false, received: 0 }
  const progressStore = new Store<ProgressRow>({
    id: learnerStores.progress,
    name: 'progress',
    write: 'exact',
    writeKey: () => {},
    writeValue: (row, w) => w.uint(row.received),
    restore: (_key, value) => {
      progress.received = value === null ? 0 : value.uint()
    },
  })
  const learnt = ctx.metrics.counter('freshet_learner_positives_total', { result: 'learnt' })
  const left = ctx.metrics.counter('freshet_learner_positives_total', { result: 'sampled_out' })
  const lossGauge = ctx.metrics.gauge('freshet_learner_loss')
  const blendLossGauge = ctx.metrics.gauge('freshet_blend_loss')
  const renewals = ctx.metrics.counter('freshet_blend_curvature_renewed_total')
  let renewed = 0
  let meanLoss = Number.NaN
  let meanBlendLoss = Number.NaN
  let sweptAt = Number.NEGATIVE_INFINITY

  function learnBlend(now: number, random: () => number): void {
    for (let k = 1; k < positive.count; k++) seen[k - 1] = items.index(positive.ids[k])
    const target = items.index(positive.ids[0])
    const loss = blend.learn(
      target,
      seen,
      positive.count - 1,
      positive.bucket,
      positive.ts,
      now,
      random,
    )
    if (Number.isNaN(loss)) return
    meanBlendLoss = Number.isNaN(meanBlendLoss)
      ? loss
      : meanBlendLoss + 0.001 * (loss - meanBlendLoss)
  }

  const positive = emptyPositive()
  const history = new Int32Array(historyLength)
  /** The same by index in the item table. */
  const seen = new Int32Array(historyLength)
  return {
    name: 'learner',
    stores: [vectors.store, progressStore, ...blend.stores] as unknown as readonly Store[],
    receives: [positivesChannel],
    receive(_channel, payload) {
      const now = ctx.now()
      while (payload.left > 0) {
        readPositive(payload, positive)
        const chance = hash53(`${seed} ${progress.received++}`)
        if (!sample.keeps(hash53(positive.ids[0], positive.user), now)) {
          left.add()
          continue
        }
        const random = randomFrom(chance)
        // before the vectors move: it is to rank with what was published
        learnBlend(now, random)
        const target = vectors.index(positive.ids[0])
        for (let k = 1; k < positive.count; k++) history[k - 1] = vectors.index(positive.ids[k])
        const loss = embeddings.learn(target, history, positive.count - 1, random)
        for (let t = 0; t < embeddings.touchedCount; t++) vectors.move(embeddings.touched[t])
        meanLoss = Number.isNaN(meanLoss) ? loss : meanLoss + 0.001 * (loss - meanLoss)
        learnt.add()
      }
      progressStore.touch(progress)
    },
    tick(budgetMs) {
      const now = ctx.now()
      if (now - sweptAt >= contentSweepMs) {
        sweptAt = now
        content.sweep()
      }
      return content.start(Math.max(1, Math.floor(budgetMs * startsPerBudgetMs)))
    },
    flush() {
      vectors.markMoved()
      blend.flush()
      if (blend.renewed > renewed) renewals.add(blend.renewed - renewed)
      renewed = blend.renewed
      if (!Number.isNaN(meanLoss)) lossGauge.set(meanLoss)
      if (!Number.isNaN(meanBlendLoss)) blendLossGauge.set(meanBlendLoss)
    },
  }
}
