/** Packets that were sent and not taken in, as a copy goes on with them. */
import { FreshetError } from '../../streams/errors.ts'
import type { CommitRecord, OutgoingPacket } from '../../streams/runtime/commit-record.ts'
import { OWNER_KEY } from '../../streams/runtime/ownership-record.ts'
import { decodePacket, encodePacket, type PacketFrame } from '../../streams/runtime/packet.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import type { Checkpoint } from '../shadow/folder.ts'
import type { KeptOfKind } from './kept-parts.ts'

/** A packet with its sender and number read. */
export interface FoundPacket extends OutgoingPacket {
  readonly from: string
  readonly number: number
}

/** Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER with `where`. */
export function foundPacket(packet: OutgoingPacket, where: string): FoundPacket {
  const { source, number } = decodePacket(packet.value, where)
  return { ...packet, from: source, number }
}

/** Those of a delta partition; the end of a sender's line of epochs is none. */
export function packetsOf(
  kind: string,
  partition: number,
  records: readonly LogRecord[],
): FoundPacket[] {
  return records.flatMap(({ key, value, offset }) =>
    value === null || key?.equals(OWNER_KEY)
      ? []
      : [foundPacket({ kind, partition, value }, `${kind}-${partition} deltas@${offset}`)],
  )
}

/** Some that a sender's commit says were sent are not found: they were taken in and trimmed meanwhile. */
export class PacketsGone extends Error {}

/**
 * What each receiver has not taken in of each sender, in order of senders and numbers, under ownership 0 (as `neutral`).
 * `found`: packets of any number, also several times. Frames of channels that nothing in the copy receives are left out;
 * the packet stays, so that numbers go on. Errors: PacketsGone.
 */
export function packetsUnderWay(
  commits: ReadonlyMap<string, CommitRecord>,
  found: readonly FoundPacket[],
  kept: ReadonlyMap<string, KeptOfKind>,
): Checkpoint['packets'] {
  const byName = new Map<string, FoundPacket>()
  for (const packet of found)
    byName.set(nameOf(packet.from, `${packet.kind}-${packet.partition}`, packet.number), packet)
  const packets: { from: string; kind: string; partition: number; value: string }[] = []
  for (const [from, { sent }] of [...commits].sort(([a], [b]) => (a < b ? -1 : 1)))
    for (const [to, last] of sent) {
      const channels = kept.get(to.slice(0, to.lastIndexOf('-')))?.channels
      if (channels === undefined) continue // nobody takes them
      const first = (commits.get(to)?.applied.get(from)?.number ?? 0) + 1
      if (first > last + 1)
        throw new FreshetError(
          'DELTA_GAP',
          `${to} has taken in packet ${first - 1} of ${from}, which has sent ${last}: state was removed by hand; begin anew with \`freshet reset\``,
        )
      for (let number = first; number <= last; number++) {
        const packet = byName.get(nameOf(from, to, number))
        if (packet === undefined)
          throw new PacketsGone(`packet ${number} of ${from} to ${to} is in no log any more`)
        const { kind, partition, value } = packet
        const copied = copyOf(value, channels, nameOf(from, to, number))
        packets.push({ from, kind, partition, value: copied.toString('base64') })
      }
    }
  return packets
}

const nameOf = (from: string, to: string, number: number): string => `${from} to ${to}: ${number}`

function copyOf(value: Buffer, channels: ReadonlySet<number>, where: string): Buffer {
  const { frames: r, frameCount, ...head } = decodePacket(value, where)
  const frames: PacketFrame[] = []
  for (let left = frameCount; left > 0; left--) {
    const frame = { channel: r.u8(), payload: r.blob() }
    if (channels.has(frame.channel)) frames.push(frame)
  }
  return encodePacket({ ...head, token: 0 }, frames)
}
