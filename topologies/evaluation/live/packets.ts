/**
 * Judged lists on their way from user tasks to statistic tasks. Payload: lists to the end, each: hour of its first impression,
 * policy, surface, cohort, bucket, number of targets, the largest weight of each, columns (float64 each).
 */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'
import type { DeltaChannel } from '../../../streams/topology/outbox.ts'
import { statisticsKind } from '../../drift/deltas.ts'
import { columnCount } from './columns.ts'

export const evaluationChannel: DeltaChannel = { id: 43, name: 'evaluation', to: statisticsKind }

export interface Judged {
  readonly hour: number
  readonly policy: string
  readonly surface: string
  readonly cohort: string
  readonly bucket: number
  readonly largest: readonly number[]
  readonly columns: Float64Array
}

export function writeJudged(w: ByteWriter, one: Judged): void {
  w.uint(one.hour).string(one.policy).string(one.surface).string(one.cohort)
  w.u8(one.bucket).u8(one.largest.length)
  for (const weight of one.largest) w.f64(weight)
  for (const x of one.columns) w.f64(x)
}

export function readJudged(r: ByteReader, take: (one: Judged) => void): void {
  while (r.left > 0) {
    const hour = r.uint()
    const policy = r.string()
    const surface = r.string()
    const cohort = r.string()
    const bucket = r.u8()
    const largest = Array.from({ length: r.u8() }, () => 0)
    for (let t = 0; t < largest.length; t++) largest[t] = r.f64()
    const columns = new Float64Array(columnCount(largest.length))
    for (let c = 0; c < columns.length; c++) columns[c] = r.f64()
    take({ hour, policy, surface, cohort, bucket, largest, columns })
  }
}
