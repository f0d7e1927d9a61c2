/**
 * `embedding:items` in the statistic task: what the learner's item vectors, as the followed item table holds them when a
 * window closes, are against those of the reference.
 *
 *  - V1 The table holds what is now. A window that closes late, or many at once, cannot be told from vectors of its own time:
 *       of windows that are due together the last one has rows.
 *  - V2 What the table holds depends on when the learner's rows came, so that a replay need not give the same figures.
 *  - V3 A reference is frozen once, with the window that makes it whole, and restored as it was.
 *
 * No minutes: vectors move by small steps, a minute tells nothing that an hour does not, and a window's figures take the
 * task 15 to 30 ms.
 */
import type { OptionValues } from '../../../streams/options.ts'
import { partitionOfText } from '../../../streams/serde/hash.ts'
import type { Outbox } from '../../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../../streams/topology/stage.ts'
import type { Store } from '../../../streams/topology/store.ts'
import { statisticsKind } from '../deltas.ts'
import { type Figure, isOver } from '../figures.ts'
import { type driftOptions, profilesOf } from '../options.ts'
import { embeddingFigures, embeddingStatistics } from '../profiles/embedding.ts'
import { referenceWindows } from '../reference.ts'
import { sizes } from '../subjects.ts'
import type { StatisticsStageFactory } from '../topology.ts'
import type { Watermark } from '../watermark.ts'
import { ItemSample, type VectorTable } from './item-sample.ts'
import { EmbeddingState, type SizeProgress } from './state.ts'

const subject = 'embedding:items'
/** Vectors of a window: 2,000 tell an AUC of .5 within .02, thrice its standard deviation. */
const sampleSize = 2_000
/** New items that are hashed in one commit, a millisecond or two. */
const itemsPerCommit = 5_000
/** Of folds of the classifier; the same in every window, so that a figure moves with the vectors alone. */
const seed = 0x1e7
/** Places in `sizes`: hours and days. */
const watched = [1, 2]

export type ItemVectorOptions = Pick<
  OptionValues<typeof driftOptions>,
  | 'drift.delay'
  | 'drift.minRows'
  | 'drift.reference.windows'
  | 'drift.reference.warmUp'
  | 'drift.profiles'
>

/** A stage for where there is a learner. */
export function itemVectorsStage(options: ItemVectorOptions): StatisticsStageFactory {
  return (ctx, watermark) =>
    createItemVectorsStage(options, ctx, watermark, ctx.table<VectorTable>('items'))
}

export function createItemVectorsStage(
  options: ItemVectorOptions,
  ctx: Pick<TaskContext, 'partition' | 'partitionsOf'>,
  watermark: Pick<Watermark, 'value' | 'passed'>,
  items: VectorTable,
): Stage<never> {
  const state = new EmbeddingState()
  const sample = new ItemSample(items, sampleSize)
  const minRows = options['drift.minRows']
  const isOurs =
    profilesOf(options['drift.profiles']).freshet &&
    partitionOfText(subject, ctx.partitionsOf(statisticsKind)) === ctx.partition

  /** The start of the last window that is to be closed now; undefined: none is. */
  const dueOf = (row: SizeProgress): number | undefined => {
    const { ms } = sizes[row.size]
    if (row.seenAt === 0) {
      row.seenAt = watermark.value
      // the window that the stream began in is not whole, nor the learner's first look at it
      row.next = Math.floor(watermark.value / ms) * ms
      state.store.touch(row)
    }
    if (!watermark.passed(row.next + ms, options['drift.delay'])) return undefined
    const over = watermark.value - options['drift.delay']
    return Math.floor(over / ms) * ms - ms
  }

  const figuresOf = (row: SizeProgress, current: readonly Float32Array[]): Figure[] => {
    const reference = state.references[row.size]
    const wanted = referenceWindows(options['drift.reference.windows'], row.size)
    const none = (reason: string): Figure[] =>
      embeddingStatistics.map(statistic => ({ statistic, value: null, threshold: null, reason }))
    if (current.length < minRows) return none(`fewer than ${minRows} items have a vector`)
    if (reference.at === 0)
      return none(`the reference is being collected: ${row.windows} of ${wanted} windows`)
    return embeddingFigures(reference.vectors, current, seed)
  }

  const close = (row: SizeProgress, start: number, out: Outbox): void => {
    const end = start + sizes[row.size].ms
    const current = sample.vectors()
    const reference = state.references[row.size]
    for (const figure of figuresOf(row, current))
      out.row('drift', {
        subject,
        segment: '',
        window_start: start,
        window_end: end,
        profile: 'freshet',
        statistic: figure.statistic,
        value: figure.value,
        threshold: figure.threshold,
        alert: isOver(figure),
        reason: figure.reason,
        reference: reference.at > 0 ? 'first' : '',
        n_reference: reference.vectors.length,
        n_current: current.length,
        revision: 1,
      })
    const begins = row.seenAt + options['drift.reference.warmUp']
    if (reference.at === 0 && start > begins && current.length >= minRows) {
      row.windows++
      if (row.windows >= referenceWindows(options['drift.reference.windows'], row.size)) {
        reference.at = end
        reference.vectors = current
        state.store.touch(reference)
      }
    }
    row.next = end
    state.store.touch(row)
  }

  return {
    name: 'item-vectors',
    stores: [state.store] as unknown as readonly Store[],
    flush(out) {
      if (!isOurs) return
      const isWhole = sample.follow(itemsPerCommit)
      if (watermark.value === 0) return
      for (const size of watched) {
        const start = dueOf(state.progress[size])
        // after a restart the ids come first: the window closes some commits later
        if (start !== undefined && isWhole) close(state.progress[size], start, out)
      }
    },
  }
}
