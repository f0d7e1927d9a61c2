/** Collects what leaves with the next commit: the runtime's side of `Outbox`. */
import { ByteWriter } from '../serde/bytes.ts'
import type {
  Alert,
  DeadLetterCode,
  DeltaChannel,
  Outbox,
  TableRow,
  ViewWrite,
} from '../topology/outbox.ts'
import type { LogRecord } from '../transport/port.ts'
import type { OutgoingRecord, Published } from './commit-record.ts'
import { viewVersion } from './names.ts'
import type { PacketFrame } from './packet.ts'

/** What one commit's outbox holds when it is closed. */
export interface OutboxContents {
  /** One a packet; those to the same receiver in the order of their parts. */
  readonly packets: readonly {
    readonly kind: string
    readonly partition: number
    readonly frames: readonly PacketFrame[]
  }[]
  readonly tables: ReadonlyMap<string, TableRow[]>
  readonly records: readonly OutgoingRecord[]
  readonly views: readonly ViewWrite[]
  /** Keys of the removed among them. */
  readonly removedViews: readonly string[]
  readonly published: readonly Published[]
}

/** Revisions of a generation are above all of the one before, so that what is made again replaces what was (2^21 generations). */
const REVISIONS_A_GENERATION = 2 ** 32

/** A dead letter's value is cut here: a record of 10 MB must still be reported within one commit. */
const DEAD_LETTER_LIMIT_BYTES = 256 * 1024

interface OutboxSettings {
  readonly topology: string
  readonly partition: number
  readonly generation: number
  /** Offset of the ownership record; 0 where nothing is claimed. */
  readonly token?: number
  readonly outsideName: (topic: string) => string
  readonly now: () => number
  /** false: nobody takes table rows. */
  readonly tables?: boolean
}

export class CommitOutbox implements Outbox {
  private readonly task: OutboxSettings
  private writers = new Map<
    string,
    { kind: string; partition: number; part: number; channel: number; writer: ByteWriter }
  >()
  private tables = new Map<string, TableRow[]>()
  private records: OutgoingRecord[] = []
  private views: ViewWrite[] = []
  private removedViews: string[] = []
  private published: Published[] = []
  /** Of the commit that is under construction. */
  version = ''
  /** Rough size of what stands in the commit record, to cut commits in time. */
  private storedBytes = 0

  constructor(task: OutboxSettings) {
    this.task = task
  }

  /** What comes now leaves with this commit. */
  begin(commit: number): void {
    const { generation, token = 0 } = this.task
    this.version = viewVersion(generation, token, commit)
  }

  delta(channel: DeltaChannel, partition: number, part = 0): ByteWriter {
    const key = `${channel.id}:${partition}:${part}`
    let entry = this.writers.get(key)
    if (!entry) {
      const { id, to } = channel
      entry = { kind: to, partition, part, channel: id, writer: new ByteWriter() }
      this.writers.set(key, entry)
    }
    return entry.writer
  }

  row(table: string, row: TableRow): void {
    if (this.task.tables === false) return
    const rows = this.tables.get(table)
    const revised = this.inGeneration(row)
    if (rows) rows.push(revised)
    else this.tables.set(table, [revised])
    this.storedBytes += 300
  }

  private inGeneration(row: TableRow): TableRow {
    const { generation } = this.task
    if (generation <= 1 || typeof row.revision !== 'number') return row
    return { ...row, revision: row.revision + (generation - 1) * REVISIONS_A_GENERATION }
  }

  deadLetter(topic: string, record: LogRecord, code: DeadLetterCode, message: string): void {
    const value = cut(record.value)
    const key = cut(record.key)
    this.records.push({
      topic: 'dead-letters',
      key,
      value,
      headers: {
        topic: this.task.outsideName(topic),
        partition: String(this.task.partition),
        offset: String(record.offset),
        code,
        message,
        topology: this.task.topology,
        time: new Date(this.task.now()).toISOString(),
      },
    })
    this.storedBytes += 300 + (value?.length ?? 0) + (key?.length ?? 0)
  }

  alert(alert: Alert): void {
    this.records.push({
      topic: 'alerts',
      key: Buffer.from(alert.subject),
      value: Buffer.from(JSON.stringify(alert)),
      headers: { id: `${alert.rule}/${alert.subject}/${alert.since}/${alert.until ?? 'open'}` },
    })
    this.storedBytes += 500
  }

  view(write: ViewWrite): void {
    this.views.push(write)
    if (write.op !== 'delete') return
    this.removedViews.push(write.key)
    this.storedBytes += write.key.length + 1
  }

  publish(topic: string, key: string, value: Buffer | null): void {
    this.published.push({ topic, key, value })
  }

  get bytes(): number {
    return this.storedBytes
  }

  get empty(): boolean {
    return (
      this.tables.size === 0 &&
      this.records.length === 0 &&
      this.views.length === 0 &&
      this.published.length === 0 &&
      this.writers.size === 0
    )
  }

  /** Hands over everything and starts anew. */
  close(): OutboxContents {
    const packets = new Map<string, { kind: string; partition: number; frames: PacketFrame[] }>()
    const inOrder = [...this.writers.values()].sort((a, b) => a.part - b.part)
    for (const { kind, partition, part, channel, writer } of inOrder) {
      if (writer.length === 0) continue
      const name = `${kind}-${partition} ${part}`
      const packet = packets.get(name) ?? { kind, partition, frames: [] }
      packet.frames.push({ channel, payload: writer.bytes() })
      packets.set(name, packet)
    }
    const contents = {
      packets: [...packets.values()],
      tables: this.tables,
      records: this.records,
      views: this.views,
      removedViews: this.removedViews,
      published: this.published,
    }
    this.writers = new Map()
    this.tables = new Map()
    this.records = []
    this.views = []
    this.removedViews = []
    this.published = []
    this.storedBytes = 0
    return contents
  }
}

function cut(bytes: Buffer | null): Buffer | null {
  return bytes && bytes.length > DEAD_LETTER_LIMIT_BYTES
    ? bytes.subarray(0, DEAD_LETTER_LIMIT_BYTES)
    : bytes
}
