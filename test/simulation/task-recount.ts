/** What a task's state must be: a plain count of records, with nothing of the runtime's but the forms of packets. */
import { decodePacket } from '../../streams/runtime/packet.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import { ALERT_EVERY, parseEvent } from './application.ts'

/** What the records between two commits bring. */
export interface Step {
  readonly words: Set<string>
  readonly flags: Set<string>
  readonly numbers: Set<string>
  readonly rows: string[]
  readonly letters: string[]
  readonly outgoing: Map<string, number>
}

export interface Counted {
  count: number
  marks: number
  lastOffset: number
}

/** What a task's state must be at its last commit. */
export class TaskRecount {
  readonly kind: string
  readonly partition: number
  readonly words = new Map<string, Counted>()
  readonly flags = new Map<string, number>()
  readonly numbers = new Map<string, number>()
  readonly positions = new Map<string, number>()
  readonly applied = new Map<string, number>()
  readonly sent = new Map<string, number>()
  /** Table blocks that are not tombstoned. */
  readonly blocks = new Map<number, string[]>()
  commits = 0
  owner: { producerId: bigint; epoch: number } | undefined
  closed = false

  constructor(kind: string, partition: number) {
    this.kind = kind
    this.partition = partition
  }

  get name(): string {
    return `${this.kind}-${this.partition}`
  }

  /** Counts an event of `text` or `marks`. */
  takeEvent(record: LogRecord, step: Step): void {
    const event = parseEvent(record)
    if (event === 'skip') return
    const id = `${this.name}@${record.offset}`
    if ('bad' in event) {
      step.letters.push(id)
      return
    }
    const { kind, word } = event
    if (kind === 'open') this.flags.set(word, (this.flags.get(word) ?? 0) + 1)
    if (kind === 'close' && !this.flags.delete(word)) return
    if (kind === 'open' || kind === 'close') {
      step.flags.add(word)
      return
    }
    const row = this.words.get(word) ?? { count: 0, marks: 0, lastOffset: 0 }
    this.words.set(word, row)
    step.words.add(word)
    if (kind === 'mark') {
      row.marks++
      return
    }
    row.count++
    row.lastOffset = record.offset
    step.rows.push(id)
    step.outgoing.set(word, (step.outgoing.get(word) ?? 0) + 1)
    if (record.offset % ALERT_EVERY === 0) step.letters.push(`alert ${id}`)
  }

  /** Counts what a packet brings, once. */
  takePacket(record: LogRecord, step: Step): void {
    if (record.key !== null || record.value === null) return // the end of a line of epochs
    const packet = decodePacket(record.value, 'recount')
    const last = this.applied.get(packet.source) ?? 0
    if (packet.number <= last) return
    this.applied.set(packet.source, packet.number)
    for (const [word, n] of packetContents(record.value)) {
      this.numbers.set(word, (this.numbers.get(word) ?? 0) + n)
      step.numbers.add(word)
      if (this.kind === 'totals') step.outgoing.set(word, (step.outgoing.get(word) ?? 0) + n)
    }
  }
}

/** The row as text, as `numbersIn` gives it; 'none' for a tombstone. */
export function expectedRow(task: TaskRecount, store: number, word: string): string {
  if (task.kind === 'totals' || store === 3) return String(task.numbers.get(word) ?? 'none')
  if (store === 2) return String(task.flags.get(word) ?? 'none')
  const row = task.words.get(word)
  if (!row) return 'none'
  return store === 4 ? String(row.count) : `${row.count} ${row.marks} ${row.lastOffset}`
}

export function numbersIn(value: Buffer): number[] {
  const reader = new ByteReader(value)
  const numbers: number[] = []
  while (reader.left > 0) numbers.push(reader.uint())
  return numbers
}

export function packetContents(value: Buffer): Map<string, number> {
  const contents = new Map<string, number>()
  const { frames } = decodePacket(value, 'recount')
  while (frames.left > 0) {
    frames.u8()
    const payload = new ByteReader(frames.blob())
    while (payload.left > 0) {
      const word = payload.string()
      contents.set(word, (contents.get(word) ?? 0) + payload.uint())
    }
  }
  return contents
}
