/**
 * A packed delta: all that one commit of one task has for one partition of another kind, in one record.
 * Layout: format u8, generation, source task, when its state began, the ownership it was made under, running number to this
 * destination from 1, then how many frames there are, and they: {channel u8, payload with length}. C4: `applied-packets.ts`.
 */
import { FreshetError, messageOf } from '../errors.ts'
import { ByteReader, ByteWriter } from '../serde/bytes.ts'

const FORMAT = 2

export interface PacketFrame {
  readonly channel: number
  readonly payload: Buffer
}

export interface PacketHead {
  readonly generation: number
  readonly source: string
  /** When the source's state began (wall clock, ms). */
  readonly bornAt: number
  /** Offset of the ownership record under which it was made. */
  readonly token: number
  readonly number: number
}

export interface Packet extends PacketHead {
  readonly frameCount: number
  /** Frames, read lazily: a repetition is passed over without looking. */
  readonly frames: ByteReader
}

export function encodePacket(head: PacketHead, frames: readonly PacketFrame[]): Buffer {
  const w = new ByteWriter(64 + frames.reduce((sum, frame) => sum + frame.payload.length + 6, 0))
  w.u8(FORMAT).uint(head.generation).string(head.source)
  w.uint(head.bornAt).uint(head.token).uint(head.number).uint(frames.length)
  for (const frame of frames) w.u8(frame.channel).blob(frame.payload)
  return w.bytes()
}

/** Errors: CHANGELOG_NEWER for another format, CHANGELOG_CORRUPT for one that is cut. `where`: topic-partition@offset. */
export function decodePacket(value: Buffer | null, where: string): Packet {
  if (value === null || value.length === 0) throw damaged(where, 'it is empty')
  const r = new ByteReader(value)
  const format = r.u8()
  if (format !== FORMAT)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `${where}: packed delta of format ${format}, this version reads ${FORMAT}; run the version that wrote it or newer`,
    )
  return readable(where, () => ({
    generation: r.uint(),
    source: r.string(),
    bornAt: r.uint(),
    token: r.uint(),
    number: r.uint(),
    frameCount: r.uint(),
    frames: r,
  }))
}

/**
 * Gives each frame's payload to whoever takes its channel.
 * Errors: CHANGELOG_NEWER for a channel that nobody takes; CHANGELOG_CORRUPT for frames or payloads that are cut or not
 * read to their end.
 */
export function deliverFrames(
  packet: Packet,
  where: string,
  receiverOf: (channel: number) => ((payload: ByteReader) => void) | undefined,
): void {
  const { frames, frameCount } = packet
  for (let i = 0; i < frameCount; i++)
    readable(where, () => {
      const channel = frames.u8()
      const payload = new ByteReader(frames.blob())
      const receive = receiverOf(channel)
      if (receive === undefined)
        throw new FreshetError(
          'CHANGELOG_NEWER',
          `${where}: packet ${packet.number} from ${packet.source} has a part for channel ${channel}, which nothing here receives: a newer version or one with more topologies sent it; run that version, and the same topologies, on all workers`,
        )
      receive(payload)
      if (payload.left > 0)
        throw new RangeError(`${payload.left} bytes of channel ${channel} are left over`)
    })
  if (frames.left > 0) throw damaged(where, `${frames.left} bytes are left over`)
}

/** Runs `read`; a RangeError, as readers throw it past the end, becomes an error with the address. */
function readable<T>(where: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw damaged(where, messageOf(error), error)
  }
}

function damaged(where: string, found: string, cause?: unknown): FreshetError {
  return new FreshetError(
    'CHANGELOG_CORRUPT',
    `${where}: the packed delta can't be read: ${found}; restore the topic from its replicas, or begin anew with \`freshet reset\``,
    cause,
  )
}
