/**
 * The table `evaluation` anew: not from the log, whose lists a replay would draw otherwise, but from the lists as the live system
 * drew them (`slates`) and what came of them (`examples`), by the code that evaluates them while they are served.
 *
 *  - E1 A list counts as live: in the hour of its first impression, down to the first without a propensity, once all outcomes
 *       of its impressions are known.
 *  - E2 `dr` is left to live: the rates that it takes stood in memory at the draw and nowhere else. Users are told apart by
 *       pseudonym, so they fall into other buckets than live: intervals differ as between two samples of buckets.
 */
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { mayBeUsed } from '../../sinks/clickhouse/withdrawn.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { propensityFault } from '../../topologies/evaluation/estimators/support.ts'
import { ForcedDraw } from '../../topologies/evaluation/forced-draw.ts'
import {
  columnCount,
  contribution,
  metrics,
  mostPositions,
} from '../../topologies/evaluation/live/columns.ts'
import type { Judged } from '../../topologies/evaluation/live/packets.ts'
import { evaluationRows } from '../../topologies/evaluation/live/rows.ts'
import { EvaluationSums } from '../../topologies/evaluation/live/sums.ts'
import { vectorDimension } from '../../topologies/learner/rows.ts'
import { type SlateRules, Traits } from '../../topologies/topk/rules.ts'
import type { SlateRow } from '../../topologies/topk/slates-row.ts'
import { type Outcome, rewardOf } from '../policy/rewards.ts'
import { fillTraits } from '../policy/slates.ts'
import { dayMs, hourMs } from './tables.ts'

const bucketCount = 64
/** An impression of a list may come so much later than its first. */
const shownWithinMs = 2 * dayMs

export interface EvaluationSettings {
  readonly query: <T>(sql: string) => Promise<T[]>
  readonly database: string
  /** `evaluation.temperatures`. */
  readonly factors: readonly number[]
  /** Of the surface as it drew; undefined: there is none of that name any more. */
  readonly rulesOf: (surface: string) => SlateRules | undefined
  /** `quality.watchCap`, ms. */
  readonly watchCapMs: number
  /** Windows that begin within [fromMs, toMs). */
  readonly fromMs: number
  readonly toMs: number
}

type Slate = Pick<
  SlateRow,
  'surface' | 'policy' | 'temperature' | 'candidates' | 'list' | 'propensities'
> & { readonly user: string; readonly list_version: string }

interface Impression extends Outcome {
  readonly user: string
  readonly surface: string
  readonly list_version: string
  readonly item: string
  readonly cohort: string
  readonly propensity: number | null
  readonly at: number
}

/** Rows hour by hour: those of the hour, and of the day that ends with it. */
export async function* evaluatedHours(settings: EvaluationSettings): AsyncGenerator<TableRow[]> {
  const { factors, fromMs, toMs } = settings
  const sums = new EvaluationSums(factors.length)
  const first = Math.ceil(fromMs / hourMs)
  const last = Math.ceil(toMs / hourMs) - 1 + 23
  const isAsked = (start: number): boolean => start >= fromMs && start < toMs
  const judge = new Judge(settings)
  for (let hour = first; hour <= last; hour++) {
    for (const one of await judge.hour(hour)) {
      const { surface, cohort } = one
      sums.add(one, ['', `surface=${surface}`, ...(cohort === '' ? [] : [`cohort=${cohort}`])])
    }
    const rows: TableRow[] = []
    for (const hours of [1, 24]) {
      const start = (hour + 1 - hours) * hourMs
      if (!isAsked(start) || hour + 1 - hours < first) continue
      const window = { start, end: (hour + 1) * hourMs, revision: 1 }
      for (const { series, buckets } of sums.merged(hour + 1 - hours, hour).values())
        rows.push(...evaluationRows(window, series, buckets, factors))
    }
    yield rows.filter(({ estimator }) => estimator !== 'dr')
    sums.forgetBefore(hour - 23)
  }
}

class Judge {
  private readonly settings: EvaluationSettings
  private forced = new ForcedDraw(256)
  private traits = new Traits(256, vectorDimension)

  constructor(settings: EvaluationSettings) {
    this.settings = settings
  }

  /** The lists whose first impression is of the hour. */
  async hour(hour: number): Promise<Judged[]> {
    const { query, database } = this.settings
    const [from, to] = [hour * hourMs, (hour + 1) * hourMs]
    const at = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}), 'UTC')`
    const list = 'user, surface, list_version'
    const seen = `SELECT ${list} FROM ${database}.v_examples WHERE ts >= ${at(from)} AND ts < ${at(to)} AND list_version != ${sqlText('')}`
    const slates = await query<Slate>(
      `SELECT ${list}, policy, temperature, candidates, list, propensities FROM ${database}.v_slates WHERE (${list}) IN (${seen})`,
    )
    if (slates.length === 0) return []
    const extent = { from: from - shownWithinMs, to: to + shownWithinMs }
    const impressions = await query<Impression>(
      `SELECT ${list}, item, cohort, propensity, toUnixTimestamp64Milli(ts) AS at,
         label, clicked, completed, returned, watched_ms, graded, target
       FROM ${database}.v_examples
       WHERE (${list}) IN (${seen}) AND ts >= ${at(extent.from)} AND ts < ${at(extent.to)}
         AND ${mayBeUsed(database, extent)} ORDER BY ts, position`,
    )
    const byList = groups(impressions)
    return slates.flatMap(slate => {
      const shown = byList.get(keyOf(slate)) ?? []
      if (shown.length === 0 || Number(shown[0].at) < from) return []
      return this.judged(slate, shown, hour) ?? []
    })
  }

  private judged(slate: Slate, shown: readonly Impression[], hour: number): Judged | undefined {
    const { watchCapMs, rulesOf, factors } = this.settings
    const { user, surface, policy, list } = slate
    const rules = rulesOf(surface)
    const count = Math.min(list.length, mostPositions)
    const rewards = metrics.map(() => new Float64Array(count))
    const taken = new Uint8Array(count)
    let [reach, cut] = [0, count]
    for (const impression of shown) {
      const position = list.indexOf(impression.item)
      if (position < 0 || position >= count || taken[position] !== 0) continue
      if (impression.label === null) return undefined
      taken[position] = 1
      reach = Math.max(reach, position + 1)
      if (propensityFault(impression.propensity) !== undefined) cut = Math.min(cut, position)
      metrics.forEach((metric, m) => {
        rewards[m][position] = rewardOf(metric, impression, watchCapMs) ?? 0
      })
    }
    const depth = Math.min(reach, cut)
    if (rules === undefined || depth === 0) return undefined
    const targets = factors.map(factor => this.target(slate, rules, factor, count))
    if (targets.includes(undefined)) return undefined
    const columns = new Float64Array(columnCount(factors.length))
    const rate = new Float64Array(count)
    const known = targets.filter(target => target !== undefined)
    const largest = contribution({ rewards, shown: depth, targets: known, rate }, columns)
    const bucket = hash53(`bucket ${user}`) % bucketCount
    const [{ cohort }] = shown
    return { hour, policy, surface, cohort, bucket, largest, columns }
  }

  /** undefined: the row does not hold what it was drawn from. */
  private target(slate: Slate, rules: SlateRules, factor: number, count: number) {
    const { candidates, list, propensities, temperature } = slate
    if (candidates.length > this.forced.chances.length) {
      this.forced = new ForcedDraw(2 * candidates.length)
      this.traits = new Traits(2 * candidates.length, vectorDimension)
    }
    const { forced, traits } = this
    const place = new Map(candidates.map(({ item }, i) => [item, i]))
    const picked = list.slice(0, count).map(item => place.get(item) ?? -1)
    if (picked.includes(-1)) return undefined
    fillTraits(traits, candidates)
    const ratio = new Float64Array(count)
    const policy = 'plackett-luce' as const
    forced.run(
      traits,
      { ...rules, policy, temperature: factor * temperature },
      picked,
      count,
      k => {
        ratio[k] = forced.chances[picked[k]] / propensities[k]
        return ratio[k] > 0
      },
    )
    return { ratio, expected: new Float64Array(count) }
  }
}

const keyOf = (row: Pick<Slate, 'user' | 'surface' | 'list_version'>): string =>
  JSON.stringify([row.user, row.surface, row.list_version])

function groups(impressions: readonly Impression[]): Map<string, Impression[]> {
  const found = new Map<string, Impression[]>()
  for (const impression of impressions) {
    const key = keyOf(impression)
    const list = found.get(key)
    if (list) list.push(impression)
    else found.set(key, [impression])
  }
  return found
}
