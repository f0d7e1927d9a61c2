/**
 * C3, effects after the commit: brings out what an acknowledged batch said. Packets, dead letters, alerts, published records
 * and views are acknowledged before the next batch is appended; table blocks may stay under way over several commits, since
 * each stands in the changelog as a row of its own until it is acknowledged. At most `MAX_BLOCKS` of them: then the next
 * commit waits (C7).
 */
import type { Clock } from '../clock.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { TableStore, ViewStore } from '../sinks.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import type { FencedWriter, OutsideRecord, Publisher } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import type { Effects } from './commit-record.ts'
import type { Commit } from './core.ts'
import type { TopicNames } from './names.ts'
import type { ShownMark } from './shown-mark.ts'
import type { TableBlock } from './table-blocks.ts'

const MAX_BLOCKS = 64

export interface Outlets {
  /** null: left out by choice (`none`). */
  readonly views: ViewStore | null
  readonly tables: TableStore | null
  readonly publisher: Publisher
  readonly names: TopicNames
  /** Outside topics that are not written (by name without prefix), where a reader wants them left out. */
  readonly silent: ReadonlySet<string>
}

/** What a commit is to the mark in the view store. */
type ShownCommit = Pick<Commit, 'number' | 'refilled'>

export interface DeliverySettings {
  readonly outlets: Outlets
  readonly writer: FencedWriter
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Logger
  readonly blockDelivered: (number: number) => void
  /** Absent where what the task shows can't be made again. */
  readonly shown?: ShownMark
}

export class Delivery {
  private readonly settings: DeliverySettings
  private readonly underWay = new Set<Promise<void>>()
  private failure: unknown

  constructor(settings: DeliverySettings) {
    this.settings = settings
  }

  /**
   * Resolves when all but the table blocks are acknowledged. `commit`: whose effects they are, where these are all of its
   * views. Errors: FENCED, STALLED from the writer; what became of an
   * earlier block, where that was neither an outage nor a row's fault.
   */
  async deliver(effects: Effects, version: string, commit?: ShownCommit): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    for (const block of effects.blocks) this.insert(block)
    while (this.underWay.size > MAX_BLOCKS) await Promise.race(this.underWay)
    await Promise.all([
      this.sendPackets(effects),
      this.publish(effects),
      this.writeViews(effects.views, version, commit),
    ])
  }

  /** Resolves when every table block is acknowledged. */
  async settled(): Promise<void> {
    await Promise.all(this.underWay)
  }

  private async sendPackets({ packets }: Effects): Promise<void> {
    if (packets.length === 0) return
    const { writer, outlets, clock } = this.settings
    await writer.appendAll(
      packets.map(packet => {
        const builder = new RecordBatchBuilder(packet.value.length + 128)
        builder.add(null, packet.value)
        return {
          at: { topic: outlets.names.deltas(packet.kind), partition: packet.partition },
          batch: builder.finish(clock.wall()),
        }
      }),
    )
  }

  private async publish({ records, published }: Effects): Promise<void> {
    const { outlets } = this.settings
    const byTopic = new Map<string, OutsideRecord[]>()
    const add = (topic: string, record: OutsideRecord): void => {
      if (outlets.silent.has(topic)) return
      const list = byTopic.get(topic)
      if (list) list.push(record)
      else byTopic.set(topic, [record])
    }
    for (const { topic, ...record } of records) add(topic, record)
    for (const { topic, key, value } of published) add(topic, { key: Buffer.from(key), value })
    await Promise.all(
      [...byTopic].map(([topic, list]) =>
        outlets.publisher.send(outlets.names.outside(topic), list),
      ),
    )
  }

  private async writeViews(
    views: readonly ViewWrite[],
    version: string,
    commit?: ShownCommit,
  ): Promise<void> {
    const { outlets, metrics, clock, shown } = this.settings
    if (outlets.views === null || views.length === 0) return
    if (shown && commit) await shown.write(views, commit.number, commit.refilled)
    else await outlets.views.write(views, version)
    const at = clock.now()
    for (const { key, recordTs } of views) {
      if (recordTs === undefined) continue
      const output = key.slice(0, key.indexOf(':'))
      metrics.histogram('freshet_freshness_seconds', { output }).observe((at - recordTs) / 1000)
    }
  }

  private insert(block: TableBlock): void {
    const { outlets, blockDelivered, log, metrics } = this.settings
    if (outlets.tables === null) {
      blockDelivered(block.number)
      return
    }
    const inserted = outlets.tables
      .insert(block.table, block.rows)
      .catch(error => {
        // an outage is waited for inside the store; what comes out here is a row that no server will ever take
        if (!(error instanceof FreshetError && error.code === 'ROW_REFUSED')) throw error
        metrics.counter('freshet_rows_refused_total', { table: block.table }).add(block.rows.length)
        log.error({ table: block.table, rows: block.rows.length }, messageOf(error))
      })
      .then(() => blockDelivered(block.number))
      // not stored: the block stays in the changelog for the next owner
      .catch(error => {
        log.warn({ table: block.table }, `rows wait for the next start: ${messageOf(error)}`)
        const closed = error instanceof FreshetError && error.code === 'CLOSED'
        if (!closed) this.failure = error
      })
      .finally(() => this.underWay.delete(inserted))
    this.underWay.add(inserted)
  }
}
