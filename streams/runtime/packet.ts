/**
 * A packed delta: all that one commit of one task has for one partition of another kind, in one record.
 * Layout: format u8, generation, source task, running number to this destination from 1, then frames
 * {channel u8, payload with length}. C4: a receiver keeps the last number per source, passes over what it has and stops on
 * a gap or another generation.
 */
import { FreshetError } from '../errors.ts'
import { ByteReader, ByteWriter } from '../serde/bytes.ts'

const FORMAT = 1

export interface PacketFrame {
  readonly channel: number
  readonly payload: Buffer
}

export interface Packet {
  readonly generation: number
  readonly source: string
  readonly number: number
  /** Frames, read lazily: a repetition is passed over without looking. */
  readonly frames: ByteReader
}

export function encodePacket(
  generation: number,
  source: string,
  number: number,
  frames: readonly PacketFrame[],
): Buffer {
  const w = new ByteWriter(64 + frames.reduce((sum, frame) => sum + frame.payload.length + 6, 0))
  w.u8(FORMAT).uint(generation).string(source).uint(number)
  for (const frame of frames) w.u8(frame.channel).blob(frame.payload)
  return w.bytes()
}

/** Errors: CHANGELOG_NEWER for another format. */
export function decodePacket(value: Buffer, where: string): Packet {
  const r = new ByteReader(value)
  const format = r.u8()
  if (format !== FORMAT)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `${where}: packed delta of format ${format}, this version reads ${FORMAT}; run the version that wrote it or newer`,
    )
  return { generation: r.uint(), source: r.string(), number: r.uint(), frames: r }
}
