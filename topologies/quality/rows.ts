/** Rows of the table `quality`: the figures of a window of the ledger. */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { sizes } from '../drift/subjects.ts'
import type { Slot } from '../ledger/slots.ts'
import type { ItemNumbers } from '../ledger/state.ts'
import { bucketCount, sumCount } from '../ledger/sums.ts'
import { concentration } from './concentration.ts'
import { ratioOf } from './interval.ts'
import { ByMarginal, type Marginal, marginalsOf } from './marginals.ts'
import { metrics } from './metrics.ts'

const window = (slot: Slot) => ({ window_start: slot.start, window_end: slot.end })

/**
 * Of a window and what is held within it (`within`). A figure whose denominator is 0 has no row; those that are not known
 * yet neither.
 */
export function qualityRows(
  slot: Slot,
  within: readonly Slot[],
  level: number,
  revision: number,
): TableRow[] {
  const isMinute = sizes[slot.size].name === '1m'
  const sums = new ByMarginal(() => new Float64Array(bucketCount * sumCount))
  for (const cell of within.flatMap(each => [...each.cells.values()])) {
    const into = marginalsOf(cell.base, isMinute).map(marginal => sums.of(marginal))
    cell.read((bucket, own) => {
      const from = bucket * sumCount
      for (const all of into) for (let k = 0; k < sumCount; k++) all[from + k] += own[k]
    })
  }
  const rows: TableRow[] = []
  for (const { marginal, value } of sums.kept())
    for (const metric of metrics) {
      if (metric.from > level) continue
      const { numerator, denominator, unit, isShare } = metric
      const ratio = ratioOf(
        bucketCount,
        bucket => value[bucket * sumCount + numerator],
        bucket => value[bucket * sumCount + denominator],
        unit,
        isShare,
      )
      if (ratio.n > 0)
        rows.push({ ...window(slot), ...marginal, metric: metric.name, ...ratio, revision })
    }
  return rows
}

/** How impressions are spread, of hours and days; no interval. */
export function exposureRows(
  slot: Slot,
  within: readonly Slot[],
  items: ItemNumbers,
  revision: number,
): TableRow[] {
  const counts = new ByMarginal(() => new Map<number, number>())
  const isCrowded = within.some(each => each.isCrowded)
  for (const exposure of within.flatMap(each => [...each.exposures.values()]))
    for (const marginal of marginalsOf(exposure.base, false)) {
      if (marginal.segment !== '') continue
      const into = counts.of(marginal)
      exposure.items.forEach((item, k) => {
        into.set(item, (into.get(item) ?? 0) + exposure.counts[k])
      })
    }
  return counts
    .kept()
    .flatMap(({ marginal, value }) => spread(slot, marginal, value, items, isCrowded, revision))
}

function spread(
  slot: Slot,
  marginal: Marginal,
  shown: ReadonlyMap<number, number>,
  items: ItemNumbers,
  isCrowded: boolean,
  revision: number,
): TableRow[] {
  const byCreator = new Map<number, number>()
  let impressions = 0
  for (const [item, count] of shown) {
    impressions += count
    const creator = items.creators[item]
    if (creator !== 0) byCreator.set(creator, (byCreator.get(creator) ?? 0) + count)
  }
  const row = (metric: string, value: number, n: number): TableRow => ({
    ...window(slot),
    ...marginal,
    metric,
    // more items than are counted: it cannot be told
    value: isCrowded ? null : value,
    low: null,
    high: null,
    n,
    revision,
  })
  const rows = [row('coverage', shown.size, impressions)]
  const creators = concentration([...byCreator.values()])
  if (creators) {
    rows.push(row('creators', byCreator.size, creators.impressions))
    rows.push(row('gini_creators', creators.gini, creators.impressions))
    rows.push(row('top_creators_share', creators.topShare, creators.impressions))
  }
  return rows
}
