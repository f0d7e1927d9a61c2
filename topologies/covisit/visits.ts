/**
 * First positives of a user task between two commits, each with the items that the user liked before it, and the packets made
 * of them. Both edges of a co-visit follow from its place in the list, so it stands in a packet once a receiver: a third of
 * the bytes of the edges, and no table of pairs on the sender's side.
 *
 * Hot: `add` and `follow` are called up to 23 times a positive. One log in a typed array that is used again.
 *
 * Packet: layout u8, minute of the first positive (uint), then a positive each: its item, its minute (int, from that of the
 * one before it), then n * 2 + whole. Whole (the receiver owns the item): n items, the
 * most recent first. Else only those that the receiver owns: n times {k u8, item}, k from 0 the most recent. An item is its
 * number in order of first sight from 1, or 0 and its id the first time.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

const layout = 2

/** What stands of a positive before the items that it follows. */
const HEAD = 3

export class Visits {
  /** A positive each: item, minute since 1970, number of items before it, these. */
  private log = new Int32Array(4096)
  private owners = new Int16Array(4096)
  private length = 0
  /** Where the number of the positive under construction stands. */
  private counter = 0
  /** By item, while a packet is written: its number there. */
  private reference = new Int32Array(1024)

  /** Entries so far: positives, and the items before them. */
  get size(): number {
    return this.length
  }

  /** A positive in that minute (since 1970); those before it `follow`, the most recent first. */
  add(item: number, minute: number): void {
    if (this.length + HEAD > this.log.length) this.grow()
    this.log[this.length] = item
    this.log[this.length + 1] = minute
    this.counter = this.length + 2
    this.log[this.counter] = 0
    this.length += HEAD
  }

  follow(item: number): void {
    if (this.length === this.log.length) this.grow()
    this.log[this.length++] = item
    this.log[this.counter]++
  }

  /** Writes one payload a partition and empties the log. See CellCounts.drain. */
  drain(
    partitionOf: (item: number) => number,
    idOf: (item: number) => string,
    to: (partition: number) => ByteWriter,
  ): void {
    const { log, owners, length } = this
    const partitions = new Set<number>()
    let highest = 0
    for (let at = 0; at < length; at += HEAD + log[at + 2])
      for (let i = at; i < at + HEAD + log[at + 2]; i++) {
        if (i === at + 1 || i === at + 2) continue
        const item = log[i]
        if (item > highest) highest = item
        owners[i] = partitionOf(item)
        if (log[at + 2] > 0) partitions.add(owners[i])
      }
    if (highest >= this.reference.length) this.reference = new Int32Array(highest * 2)
    for (const partition of partitions) this.write(partition, idOf, to(partition))
    this.length = 0
  }

  private write(partition: number, idOf: (item: number) => string, w: ByteWriter): void {
    const { log, owners, length, reference } = this
    const used: number[] = []
    const refer = (item: number): void => {
      const known = reference[item]
      if (known !== 0) {
        w.uint(known)
        return
      }
      used.push(item)
      reference[item] = used.length
      w.uint(0).string(idOf(item))
    }
    let minute = log[1]
    w.u8(layout).uint(minute)
    for (let at = 0; at < length; at += HEAD + log[at + 2]) {
      const n = log[at + 2]
      const first = at + HEAD
      const whole = owners[at] === partition
      let own = 0
      if (whole) own = n
      else for (let k = 0; k < n; k++) if (owners[first + k] === partition) own++
      if (own === 0) continue
      refer(log[at])
      w.int(log[at + 1] - minute)
      minute = log[at + 1]
      w.uint(own * 2 + (whole ? 1 : 0))
      for (let k = 0; k < n; k++) {
        if (!whole) {
          if (owners[first + k] !== partition) continue
          w.u8(k)
        }
        refer(log[first + k])
      }
    }
    for (const item of used) reference[item] = 0
  }

  private grow(): void {
    const log = new Int32Array(this.log.length * 2)
    log.set(this.log)
    this.log = log
    this.owners = new Int16Array(log.length)
  }
}

/**
 * Reads a payload. `indexFrom` takes an id of `size` bytes off the reader and gives its index (once an id); `take` is called
 * for each item that came before a positive: `whole` where all of them are here, else the receiver owns `other` and not
 * `item`. Errors: CHANGELOG_NEWER for another layout; RangeError for a payload that is cut.
 */
export function readVisits(
  r: ByteReader,
  indexFrom: (r: ByteReader, size: number) => number,
  take: (item: number, other: number, k: number, whole: boolean, minute: number) => void,
): void {
  const found = r.u8()
  if (found !== layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a packet of co-visits has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
    )
  let minute = r.uint()
  const known: number[] = []
  const item = (): number => {
    const reference = r.uint()
    if (reference !== 0) return known[reference - 1]
    const index = indexFrom(r, r.uint())
    known.push(index)
    return index
  }
  while (r.left > 0) {
    const positive = item()
    minute += r.int()
    const head = r.uint()
    const whole = (head & 1) === 1
    for (let i = 0; i < head >> 1; i++) {
      const k = whole ? i : r.u8()
      take(positive, item(), k, whole, minute)
    }
  }
}
