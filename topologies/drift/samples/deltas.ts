/**
 * What user tasks send of raw values, where a profile asks for them (`drift.profiles`): the commit's sample of each subject,
 * place and window; merged where they arrive (bottom-k.ts). Values are told by the hash of their row, an event or a play.
 * Payload: blocks to the end. A block: subject, surface, cohort, policy, model, size (0, 1, 2, or 3: the minute and the hour
 * and day around it), number of the window (3: the minute), kind (0 numbers, 1 categories), rows, then (hash, value) each.
 */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'
import { partitionOfText } from '../../../streams/serde/hash.ts'
import type { DeltaChannel, Outbox } from '../../../streams/topology/outbox.ts'
import { statisticsKind } from '../deltas.ts'
import { dimensions, type Place, placeKey } from '../segments.ts'
import { sizes } from '../subjects.ts'

export const samplesChannel: DeltaChannel = { id: 41, name: 'drift-samples', to: statisticsKind }

/** In place of a size: the minute, hour and day. */
export const allSizes = sizes.length

/** A category's name, or a number; NaN where a number is missing. */
export type RawValue = number | string

interface Block {
  readonly subject: string
  readonly place: Place
  readonly size: number
  readonly window: number
  /** By the hash of the row, so a play that goes on has its newest value. */
  readonly values: Map<number, RawValue>
}

const msOf = (size: number): number => sizes[size === allSizes ? 0 : size].ms

export class SampleBuffer {
  private readonly limit: number
  private blocks = new Map<string, Block>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** `size`: of the window around `ts`, or `allSizes`. */
  add(
    subject: string,
    place: Place,
    size: number,
    ts: number,
    row: { readonly hash: number; readonly value: RawValue },
  ): void {
    const window = Math.floor(ts / msOf(size))
    const key = `${subject}\n${size} ${window}\n${placeKey(place)}`
    let block = this.blocks.get(key)
    if (!block) {
      block = { subject, place, size, window, values: new Map() }
      this.blocks.set(key, block)
    }
    block.values.set(row.hash, row.value)
  }

  flush(out: Outbox, partitions: number): void {
    for (const block of this.blocks.values())
      writeBlock(
        out.delta(samplesChannel, partitionOfText(block.subject, partitions)),
        block,
        this.limit,
      )
    this.blocks = new Map()
  }
}

function writeBlock(w: ByteWriter, block: Block, limit: number): void {
  const { subject, place, size, window, values } = block
  let rows = [...values]
  // more than one window may hold leave none of the rest a place
  if (rows.length > limit) rows = rows.sort(([a], [b]) => a - b).slice(0, limit)
  const named = typeof rows[0][1] === 'string'
  w.string(subject)
  for (const dimension of dimensions) w.string(place[dimension])
  w.u8(size)
    .uint(window)
    .u8(named ? 1 : 0)
    .uint(rows.length)
  for (const [hash, value] of rows) {
    w.uint(hash)
    if (typeof value === 'string') w.string(value)
    else w.f64(value)
  }
}

export interface SampleBlock {
  readonly subject: string
  readonly place: Place
  readonly size: number
  /** Start of the window, ms. */
  readonly start: number
  readonly rows: readonly (readonly [hash: number, value: RawValue])[]
}

export function readSamples(payload: ByteReader, block: (block: SampleBlock) => void): void {
  while (payload.left > 0) {
    const subject = payload.string()
    const place = {
      surface: payload.string(),
      cohort: payload.string(),
      policy: payload.string(),
      model: payload.string(),
    }
    const size = payload.u8()
    const start = payload.uint() * msOf(size)
    const named = payload.u8() === 1
    const rows = Array.from(
      { length: payload.uint() },
      () => [payload.uint(), named ? payload.string() : payload.f64()] as const,
    )
    block({ subject, place, size, start, rows })
  }
}
