/**
 * In the user task: joins sampled lists with the outcomes of their impressions, and sends what each list says on once it is
 * judged.
 *
 *  - J1 A list is judged once: when every impression of it has its final label, and none came for the session gap. It counts in
 *       the hour of its first impression. What is shown of it later is counted (`late`) and not looked at.
 *  - J2 An impression without a propensity (moved, or below one that the reader dropped) cuts the list there.
 */
import { hash53, partitionOfText } from '../../../streams/serde/hash.ts'
import type { Stage, TaskContext } from '../../../streams/topology/stage.ts'
import { statisticsKind } from '../../drift/deltas.ts'
import { DueTimes } from '../../due-times.ts'
import type { ImpressionEvent, UserEvent } from '../../user/event.ts'
import type { LabelFact, LabelSink } from '../../user/labels-port.ts'
import { propensityFault } from '../estimators/support.ts'
import { columnCount, contribution } from './columns.ts'
import type { KeptDraw, SampledDraws } from './draws.ts'
import { evaluationChannel, type Judged, writeJudged } from './packets.ts'

const hourMs = 3_600_000
const bucketCount = 64
/** Rounds after which a list with an outcome that never comes (its user was removed and came back) is let go, ms. */
const longestMs = 48 * hourMs

export interface EvaluationUserDeps {
  readonly draws: SampledDraws
  /** The partition's newest event time, ms. */
  readonly watermark: { readonly at: number }
  readonly gapMs: number
  /** Watch time of an impression counts up to this, ms. */
  readonly watchCapMs: number
  readonly targets: number
}

export function createEvaluationUserStage(
  ctx: Pick<TaskContext, 'partitionsOf' | 'metrics'>,
  deps: EvaluationUserDeps,
): Stage<UserEvent> & LabelSink & { forget(userId: string): void } {
  const { draws, watermark, gapMs, watchCapMs, targets } = deps
  const due = new DueTimes<KeptDraw>()
  let judged: Judged[] = []
  const unjudged = ctx.metrics.counter('freshet_evaluation_unjudged_total')
  const judgedTotal = ctx.metrics.counter('freshet_evaluation_lists_total')
  const keptGauge = ctx.metrics.gauge('freshet_evaluation_kept_lists')

  const shown = ({ userId, item, ts, event }: ImpressionEvent): void => {
    const { listVersion, surface, propensity } = event
    const draw = listVersion ? draws.find(userId, surface, listVersion) : undefined
    if (draw === undefined) return
    const position = draw.items.indexOf(item)
    // the first of doubled ones counts
    if (position < 0 || draw.state[position] !== 0) return
    if (draw.firstShownAt === 0) due.add(ts + gapMs, draw)
    draw.firstShownAt = draw.firstShownAt === 0 ? ts : Math.min(draw.firstShownAt, ts)
    draw.lastShownAt = Math.max(draw.lastShownAt, ts)
    draw.state[position] = 1
    draw.waiting++
    draw.shown = Math.max(draw.shown, position + 1)
    if (propensityFault(propensity) !== undefined) draw.cut = Math.min(draw.cut, position)
  }

  const judge = (draw: KeptDraw): void => {
    draws.drop(draw)
    draw.shown = Math.min(draw.shown, draw.cut)
    if (draw.shown === 0) return
    const columns = new Float64Array(columnCount(targets))
    const largest = contribution(draw, columns)
    judged.push({
      hour: Math.floor(draw.firstShownAt / hourMs),
      policy: draw.policy,
      surface: draw.surface,
      cohort: draw.cohort,
      bucket: hash53(`bucket ${draw.userId}`) % bucketCount,
      largest,
      columns,
    })
    judgedTotal.add()
  }

  const look = (): void => {
    for (let found = due.take(watermark.at); found; found = due.take(watermark.at)) {
      const { what: draw } = found
      if (draws.find(draw.userId, draw.surface, draw.version) !== draw) continue
      const restsAt = draw.lastShownAt + gapMs
      if (draw.waiting === 0 && restsAt <= watermark.at) judge(draw)
      else if (watermark.at > draw.firstShownAt + longestMs) {
        draws.drop(draw)
        unjudged.add()
      } else due.add(Math.max(restsAt, watermark.at + 60_000), draw)
    }
  }

  return {
    name: 'evaluation',
    process(event) {
      if (event.kind === 'impression' && event.user !== null) shown(event)
      return undefined
    },
    label(fact: LabelFact) {
      const { userId, surface, item, request } = fact
      if (request.listVersion === '') return
      const draw = draws.find(userId, surface, request.listVersion)
      const position = draw?.items.indexOf(item) ?? -1
      if (draw === undefined || position < 0 || draw.state[position] !== 1) return
      draw.state[position] = 2
      draw.waiting--
      const [click, watch, completion] = draw.rewards
      click[position] = fact.clicked ? 1 : 0
      completion[position] = fact.completed ? 1 : 0
      watch[position] = (Math.min(fact.watchedMs, watchCapMs) / 1000) * (fact.graded ?? 1)
    },
    flush(out) {
      look()
      unjudged.add(draws.takeEvicted())
      keptGauge.set(draws.size)
      const partitions = ctx.partitionsOf(statisticsKind)
      for (const one of judged)
        writeJudged(out.delta(evaluationChannel, partitionOfText(one.policy, partitions)), one)
      judged = []
    },
    forget: userId => draws.forget(userId),
  }
}
