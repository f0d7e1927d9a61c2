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
  const content = new ContentStart(ctx.table<ContentTable>('items'), vectors)
  const sample = new RateSample(options['learner.maxPerSecond'])
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
  let meanLoss = Number.NaN
  let sweptAt = Number.NEGATIVE_INFINITY

  const positive = emptyPositive()
  const history = new Int32Array(historyLength)
  return {
    name: 'learner',
    stores: [vectors.store, progressStore] as unknown as readonly Store[],
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
        const target = vectors.index(positive.ids[0])
        for (let k = 1; k < positive.count; k++) history[k - 1] = vectors.index(positive.ids[k])
        const loss = embeddings.learn(target, history, positive.count - 1, randomFrom(chance))
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
      if (!Number.isNaN(meanLoss)) lossGauge.set(meanLoss)
    },
  }
}
