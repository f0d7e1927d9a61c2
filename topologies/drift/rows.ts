/** Rows of the tables `histograms` and `drift`. */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { type Figure, isOver } from './figures.ts'
import type { Histogram } from './histogram.ts'
import { foldInto, type ReferenceRow } from './reference.ts'
import { numberSubject, sizes } from './subjects.ts'

export interface WindowId {
  readonly subject: string
  readonly segment: string
  readonly size: number
  /** ms */
  readonly start: number
}

const windowOf = ({ subject, segment, size, start }: WindowId) => ({
  subject,
  segment,
  window_start: start,
  window_end: start + sizes[size].ms,
})

/** The id of a reference's frozen groups: its name and when it began, or when it was set by hand. */
function frozenId({ name, setAt, from }: ReferenceRow): string {
  return `${name}@${new Date(setAt || from).toISOString()}`
}

const asLists = (shards: readonly Float64Array[]): number[][] => shards.map(shard => [...shard])

/** Categories stand in the order of their names, not of their first sight: the row is a function of the counts alone. */
function fineRow(subject: string, histogram: Histogram) {
  const known = numberSubject(subject)
  const { names, bins } = histogram
  const order = Array.from({ length: bins }, (_, bin) => bin)
  if (names) order.sort((a, b) => (names[a] < names[b] ? -1 : 1))
  const totals = histogram.totals()
  const shards = histogram.fold(bins, bin => bin)
  return {
    edges_id: known?.edgesId ?? 'categories',
    edges: [...(known?.edges ?? [])],
    categories: names ? order.map(bin => names[bin]) : [],
    counts: order.map(bin => totals[bin]),
    missing: histogram.missing,
    n: histogram.n,
    shards: shards.map(shard => order.map(bin => shard[bin])),
  }
}

function frozenRow(subject: string, histogram: Histogram, reference: ReferenceRow) {
  const groups = reference.groups ?? []
  const known = numberSubject(subject)
  const shards = asLists(foldInto(groups, histogram))
  return {
    edges_id: frozenId(reference),
    edges: known ? groups.slice(1).map(bin => known.edges[Number(bin) - 1]) : [],
    categories: known ? [] : [...groups, '~rest'],
    counts: shards[0].map((_, group) => shards.reduce((sum, shard) => sum + shard[group], 0)),
    missing: histogram.missing,
    n: histogram.n,
    shards,
  }
}

/** The fine histogram of a window and, where there is a reference, the same in its groups. */
export function histogramRows(
  window: WindowId,
  histogram: Histogram,
  reference: ReferenceRow,
  revision: number,
): TableRow[] {
  const head = windowOf(window)
  const fine = { ...head, ...fineRow(window.subject, histogram), revision }
  if (reference.groups === null) return [fine]
  return [fine, { ...head, ...frozenRow(window.subject, histogram, reference), revision }]
}

/** The same two of the reference itself; their ids begin with `reference:`. */
export function referenceRows(reference: ReferenceRow): TableRow[] {
  const { subject, segment, from, to, histogram } = reference
  return [fineRow(subject, histogram), frozenRow(subject, histogram, reference)].map(row => ({
    subject,
    segment,
    window_start: from,
    window_end: to,
    ...row,
    edges_id: `reference:${row.edges_id}`,
    revision: 1,
  }))
}

export function driftRows(
  window: WindowId,
  list: readonly Figure[],
  reference: ReferenceRow,
  nCurrent: number,
  revision: number,
): TableRow[] {
  const frozen = reference.groups !== null
  return list.map(figure => ({
    ...windowOf(window),
    profile: 'freshet',
    statistic: figure.statistic,
    value: figure.value,
    threshold: figure.threshold,
    alert: isOver(figure),
    reason: figure.reason,
    reference: frozen ? reference.name : '',
    n_reference: frozen ? reference.histogram.n : 0,
    n_current: nCurrent,
    revision,
  }))
}
