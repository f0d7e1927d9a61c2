/** A series that a rule watches: one subject and segment, window by window. */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Row } from '../../streams/topology/store.ts'
import { type Alarm, quiet } from '../drift/alarm.ts'
import { type History, noHistory } from './condition.ts'

export interface SeriesId {
  readonly rule: string
  /** What of the rows the rule does not pin, but for the segment. */
  readonly subject: string
  readonly segment: string
}

export interface Series extends SeriesId, Alarm, Row {
  readonly history: History
  /** Of the newest window: how many rows it was of, and its end (ms). */
  n: number
  end: number
  /** What it was held against when it was raised. */
  threshold: number | null
  /** While it is raised: the SQL that shows its figures. */
  query: string
}

export const seriesKey = ({ rule, subject, segment }: SeriesId): string =>
  `${rule}\n${subject}\n${segment}`

export const newSeries = ({ rule, subject, segment }: SeriesId): Series => ({
  rule,
  subject,
  segment,
  ...quiet(),
  history: noHistory(),
  n: 0,
  end: 0,
  threshold: null,
  query: '',
  dirty: false,
  removed: false,
})

export function writeSeries(row: Series, w: ByteWriter): void {
  const { frozen, held, recent } = row.history
  w.int(row.run)
    .uint(row.since)
    .u8(row.raised ? 1 : 0)
    .int(row.newest)
    .uint(row.n)
    .uint(row.end)
  writeNumber(row.threshold, w)
  w.string(row.query)
  writeNumber(frozen, w)
  w.uint(held).uint(recent.length)
  for (const value of recent) w.f64(value)
}

export function readSeries(id: SeriesId, r: ByteReader): Series {
  const series = newSeries(id)
  series.run = r.int()
  series.since = r.uint()
  series.raised = r.u8() === 1
  series.newest = r.int()
  series.n = r.uint()
  series.end = r.uint()
  series.threshold = readNumber(r)
  series.query = r.string()
  series.history.frozen = readNumber(r)
  series.history.held = r.uint()
  for (let left = r.uint(); left > 0; left--) series.history.recent.push(r.f64())
  return series
}

function writeNumber(value: number | null, w: ByteWriter): void {
  w.u8(value === null ? 0 : 1)
  if (value !== null) w.f64(value)
}

function readNumber(r: ByteReader): number | null {
  return r.u8() === 0 ? null : r.f64()
}
