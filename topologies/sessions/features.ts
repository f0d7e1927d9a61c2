/**
 * session-features as Avro bytes, without an object and a schema walk for each: a record leaves for every changed user
 * with every commit. user-task.bench.ts measures the whole; features.test.ts holds the bytes against the general encoder's.
 */
import type { ItemTable } from '../items/table.ts'
import type { SessionState } from './session.ts'

/** 50 item ids and a user id of at most 256 bytes each, and some 200 B beside them. */
const LONGEST_BYTES = 16_384

export class FeaturesEncoder {
  private readonly scratch = Buffer.alloc(LONGEST_BYTES)
  private readonly items: ItemTable
  private at = 0

  /** `schemaId`: of freshet.SessionFeatures in the registry. */
  constructor(schemaId: number, items: ItemTable) {
    this.scratch.writeInt32BE(schemaId, 1)
    this.items = items
  }

  /** The framed record; `eventId` is stable for a state of the session, so that readers drop repetitions by it. */
  encode(userId: string, session: SessionState, offset: number): Buffer {
    this.at = 5
    const { id } = session
    this.text(`${id}-${offset}`)
    this.text(userId)
    this.text(id)
    this.whole(session.startedAt)
    this.whole(session.lastEventAt)
    this.whole(session.impressions)
    this.whole(session.watches)
    this.whole(session.positives)
    this.whole(session.watchedMs)
    this.whole(session.completes)
    this.whole(session.skips)
    const { items } = session
    if (items.length > 0) {
      this.whole(items.length)
      for (let k = 0; k < items.length; k++) this.text(this.items.idOf(items[k]))
    }
    this.whole(0) // the array's end
    this.whole(0) // version ''
    const record = Buffer.allocUnsafe(this.at)
    this.scratch.copy(record, 0, 0, this.at)
    return record
  }

  /** A number from 0 to 2^52, zigzag. */
  private whole(value: number): void {
    const { scratch } = this
    let v = value * 2
    let { at } = this
    while (v >= 0x80000000) {
      scratch[at++] = (v % 128) | 128
      v = Math.floor(v / 128)
    }
    while (v >= 128) {
      scratch[at++] = (v & 127) | 128
      v >>>= 7
    }
    scratch[at++] = v
    this.at = at
  }

  private text(text: string): void {
    const { scratch } = this
    const { length } = text
    const start = this.at
    // up to 63 bytes the length is one byte; plain ASCII is quicker by hand
    if (length < 64) {
      let at = start + 1
      for (let k = 0; k < length; k++) {
        const code = text.charCodeAt(k)
        if (code > 127) {
          at = -1
          break
        }
        scratch[at++] = code
      }
      if (at > 0) {
        scratch[start] = length * 2
        this.at = at
        return
      }
    }
    this.whole(Buffer.byteLength(text))
    this.at += scratch.write(text, this.at)
  }
}
