/**
 * Follows changelogs into a table, whole batch by whole batch: what every process knows without owning it. A table is
 * shared by all tasks of the process that name it and dropped when the last of them is closed.
 */
import { FreshetError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { ByteReader } from '../serde/bytes.ts'
import type { FollowedTable, TableSpec } from '../topology/stage.ts'
import type { LogReader, TopicPartition, Transport } from '../transport/port.ts'
import type { TopicNames } from './names.ts'

export interface FollowerSettings {
  readonly transport: Transport
  readonly names: TopicNames
  readonly partitionsOf: (kind: string) => number
  readonly now: () => number
  readonly metrics: Metrics
  readonly log: Logger
  readonly onFailure: (error: unknown) => void
}

export class Follower {
  readonly table: FollowedTable
  /** Settles once the table holds all that the changelogs held when following began. */
  readonly caughtUp: Promise<void>
  private readonly spec: TableSpec
  private readonly settings: FollowerSettings
  private readonly reader: LogReader
  private readonly kindOf = new Map<string, string>()
  private readonly behind = new Map<string, number>()
  private closed = false
  private markCaughtUp: () => void = () => undefined

  constructor(spec: TableSpec, settings: FollowerSettings) {
    this.spec = spec
    this.settings = settings
    this.table = spec.create({ now: settings.now, metrics: settings.metrics, log: settings.log })
    this.reader = settings.transport.reader()
    this.caughtUp = new Promise(resolve => {
      this.markCaughtUp = resolve
    })
    this.follow().catch(error => {
      if (!this.closed) settings.onFailure(error)
    })
  }

  private async follow(): Promise<void> {
    const { transport, names, partitionsOf } = this.settings
    const parts: TopicPartition[] = []
    for (const kind of this.spec.follows) {
      const topic = names.changelog(kind)
      this.kindOf.set(topic, kind)
      for (let partition = 0; partition < partitionsOf(kind); partition++)
        parts.push({ topic, partition })
    }
    const offsets = await transport.topics.offsets(parts)
    parts.forEach((at, i) => {
      const { start, end } = offsets[i]
      if (end > start) this.behind.set(`${at.topic}-${at.partition}`, end)
      this.reader.assign(at, start, true)
    })
    if (this.behind.size === 0) this.markCaughtUp()
    while (!this.closed) {
      for (const batch of await this.reader.poll(500)) {
        this.apply(batch.topic, batch.partition, batch.records)
        if (this.behind.size > 0)
          this.advance(`${batch.topic}-${batch.partition}`, batch.nextOffset)
      }
    }
  }

  private apply(
    topic: string,
    partition: number,
    records: readonly { offset: number; key: Buffer | null; value: Buffer | null }[],
  ): void {
    const kind = this.kindOf.get(topic) as string
    for (const { offset, key, value } of records) {
      if (key === null || key.length === 0 || key[0] === 0) continue
      try {
        this.table.apply(
          kind,
          partition,
          key[0],
          new ByteReader(key, 1),
          value === null ? null : new ByteReader(value),
        )
      } catch (error) {
        throw new FreshetError(
          'CHANGELOG_CORRUPT',
          `${topic}-${partition}@${offset}: a row for table ${this.spec.name} can't be read (${messageOf(error)})`,
          error,
        )
      }
    }
    this.table.batchApplied?.()
  }

  private advance(part: string, nextOffset: number): void {
    const end = this.behind.get(part)
    if (end === undefined || nextOffset < end) return
    this.behind.delete(part)
    if (this.behind.size === 0) this.markCaughtUp()
  }

  async close(): Promise<void> {
    this.closed = true
    await this.reader.close()
  }
}
