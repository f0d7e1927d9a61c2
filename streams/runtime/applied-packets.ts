/**
 * C4, once downstream: the last packet taken in from each source task, and whether the next one is new.
 *
 * A repetition is passed over: the last packet of a takeover's outbox, or an older one of a zombie that the broker has
 * forgotten. A source whose state was removed or lost its newest commits would look just like that and be passed over
 * until it has caught up; so packets say when their source's state began and under which ownership they were made, which
 * grows with their number, and a source that went back is an error at its first packet.
 */
import { FreshetError } from '../errors.ts'
import type { Packet } from './packet.ts'

export interface Applied {
  readonly number: number
  /** When the source's state began. */
  readonly bornAt: number
  /** Under which ownership of its source the packet was made. */
  readonly token: number
}

export class AppliedPackets {
  readonly bySource = new Map<string, Applied>()

  /** False for a repetition. Errors: DELTA_GAP with `where` and the remedy. */
  take(packet: Packet, where: string): boolean {
    const { source, number, bornAt, token } = packet
    const last = this.bySource.get(source)
    if (last !== undefined && last.bornAt !== bornAt)
      throw gap(
        where,
        `packet ${number} from ${source} is of state that began at ${isoTime(bornAt)}, packet ${last.number} of state that began at ${isoTime(last.bornAt)}: the changelog of ${source} was removed by hand, and what it sends again is counted here already`,
      )
    const lastNumber = last?.number ?? 0
    if (number > lastNumber + 1)
      throw gap(
        where,
        `packet ${number} from ${source} follows ${lastNumber}; ${number - lastNumber - 1} are missing: state or packets were removed by hand`,
      )
    if (last !== undefined && wentBack(packet, last))
      throw gap(
        where,
        `packet ${number} from ${source} was made under ownership ${token}, packet ${last.number} under ownership ${last.token}: the changelog of ${source} lost its newest commits, and what it sends again differs from what is counted here`,
      )
    if (number <= lastNumber) return false
    this.bySource.set(source, { number, bornAt, token })
    return true
  }
}

/** Ownerships grow with numbers, and one number is made under one ownership. */
function wentBack({ number, token }: Packet, last: Applied): boolean {
  if (number > last.number) return token < last.token
  return token > last.token || (number === last.number && token !== last.token)
}

const isoTime = (ms: number): string => (ms <= 8.64e15 ? new Date(ms).toISOString() : String(ms))

const gap = (where: string, found: string): FreshetError =>
  new FreshetError(
    'DELTA_GAP',
    `${where}: ${found}; reset the whole application: \`freshet reset\``,
  )
