/** A reference: what windows are compared with. Frozen once it is whole; with it the groups that its histogram suggests. */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Row } from '../../streams/topology/store.ts'
import { Histogram } from './histogram.ts'
import { histogramOf, type SetReference } from './reference-book.ts'
import { groupBins, groupNames } from './statistics/grouping.ts'
import { sizes } from './subjects.ts'

/** Either the first bin of each group, or the names that are groups of their own (all others: one more group). */
export type Groups = readonly number[] | readonly string[]

export interface ReferenceRow extends Row {
  readonly subject: string
  readonly segment: string
  readonly size: number
  name: string
  from: number
  to: number
  windows: number
  /** When it was set by hand, ms; 0: collected. */
  setAt: number
  histogram: Histogram
  /** null while it is being collected. */
  groups: Groups | null
}

/** The one that is collected, while none is set. */
export const firstReference = 'first'

/** How many windows of a size make the first reference, from its number of minutes. */
export function referenceWindows(minutes: number, size: number): number {
  return Math.max(1, Math.round((minutes * sizes[0].ms) / sizes[size].ms))
}

/** Adds a whole window; freezes after `wanted` of them. True when it froze now. */
export function collect(
  reference: ReferenceRow,
  start: number,
  window: Histogram,
  wanted: number,
): boolean {
  if (reference.windows === 0) reference.from = start
  reference.from = Math.min(reference.from, start)
  reference.to = Math.max(reference.to, start + sizes[reference.size].ms)
  reference.windows++
  reference.histogram.merge(window)
  if (reference.windows < wanted) return false
  reference.groups = groupsOf(reference.histogram)
  return true
}

function groupsOf(histogram: Histogram): Groups {
  const totals = histogram.totals()
  return histogram.names ? groupNames(histogram.names, totals) : groupBins(totals)
}

/** A whole reference as one that is set: its time of setting is then that of its first window, where it was collected. */
export function asSet({ histogram, ...row }: ReferenceRow): SetReference {
  const { subject, segment, size, name, setAt, from, to, windows } = row
  const shards = histogram.fold(histogram.bins, bin => bin).map(counts => [...counts])
  const { names: categories, missing } = histogram
  const series = { subject, segment, size }
  return { ...series, name, setAt: setAt || from, from, to, windows, missing, categories, shards }
}

/** Puts one that was set by hand in a reference's place, whole. */
export function replaceBy(reference: ReferenceRow, set: SetReference): void {
  const { name, from, to, windows, setAt } = set
  const histogram = histogramOf(set)
  Object.assign(reference, { name, from, to, windows, setAt, histogram })
  reference.groups = groupsOf(histogram)
}

function groupCount(groups: Groups): number {
  return typeof groups[0] === 'number' ? groups.length : groups.length + 1
}

/** Counts of a histogram by shard and group. */
export function foldInto(groups: Groups, histogram: Histogram): Float64Array[] {
  const { names } = histogram
  const size = groupCount(groups)
  if (names) {
    const order = groups as readonly string[]
    const place = new Map(order.map((name, group) => [name, group]))
    return histogram.fold(size, bin => place.get(names[bin]) ?? size - 1)
  }
  const starts = groups as readonly number[]
  let group = 0
  return histogram.fold(size, bin => {
    if (bin === 0) group = 0
    while (group + 1 < starts.length && starts[group + 1] <= bin) group++
    return group
  })
}

export function newReference(
  subject: string,
  segment: string,
  size: number,
  histogram: Histogram,
): ReferenceRow {
  return {
    dirty: false,
    removed: false,
    subject,
    segment,
    size,
    name: firstReference,
    from: 0,
    to: 0,
    windows: 0,
    setAt: 0,
    histogram,
    groups: null,
  }
}

export function writeReference(row: ReferenceRow, w: ByteWriter): void {
  w.string(row.name).uint(row.from).uint(row.to).uint(row.windows)
  row.histogram.write(w)
  const { groups } = row
  w.u8(groups === null ? 0 : 1)
  if (groups === null) return
  w.uint(groups.length)
  for (const group of groups)
    if (typeof group === 'number') w.uint(group)
    else w.string(group)
  w.uint(row.setAt)
}

export function readReference(
  subject: string,
  segment: string,
  size: number,
  r: ByteReader,
): ReferenceRow {
  const name = r.string()
  const from = r.uint()
  const to = r.uint()
  const windows = r.uint()
  const histogram = Histogram.read(r)
  const row = newReference(subject, segment, size, histogram)
  row.name = name
  row.from = from
  row.to = to
  row.windows = windows
  if (r.u8() === 0) return row
  const groups = r.uint()
  row.groups = histogram.names
    ? Array.from({ length: groups }, () => r.string())
    : Array.from({ length: groups }, () => r.uint())
  // rows written before references could be set end here
  if (r.left > 0) row.setAt = r.uint()
  return row
}
