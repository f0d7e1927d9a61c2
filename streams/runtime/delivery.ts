/**
 * C3, effects after the commit: brings out what an acknowledged batch said. Packets, dead letters, alerts, published records
 * and views are acknowledged before the next batch is appended; table blocks may stay under way over several commits
 * (`table-backlog.ts`), since each stands in the changelog as a row of its own until it is acknowledged.
 */
import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { TableStore, ViewStore } from '../sinks.ts'
import type { TableRow, ViewWrite } from '../topology/outbox.ts'
import type { FencedWriter, OutsideRecord, Publisher } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import type { Effects, OutgoingPacket } from './commit-record.ts'
import type { Commit } from './core.ts'
import type { TopicNames } from './names.ts'
import type { ShownMark } from './shown-mark.ts'
import { TableBacklog } from './table-backlog.ts'

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
  /** Rows of the blocks in the changelog from an offset on, as many as one read gives. */
  readonly readBlocks: (at: number) => Promise<ReadonlyMap<number, readonly TableRow[]>>
  /** Absent where what the task shows can't be made again. */
  readonly shown?: ShownMark
}

export class Delivery {
  private readonly settings: DeliverySettings
  private readonly backlog: TableBacklog

  constructor(settings: DeliverySettings) {
    this.settings = settings
    this.backlog = new TableBacklog({ ...settings, tables: settings.outlets.tables })
  }

  /**
   * Resolves when all but the table blocks are acknowledged. `commit`: whose effects they are, where these are all of its
   * views; `baseOffset`: where its batch begins. Errors: FENCED, STALLED from the writer; what became of an
   * earlier block, where that was neither an outage nor a row's fault.
   */
  async deliver(
    effects: Effects,
    version: string,
    commit?: ShownCommit,
    baseOffset?: number,
  ): Promise<void> {
    const { backlog } = this
    backlog.add(effects.blocks, baseOffset)
    await backlog.room()
    if (backlog.failure !== undefined) throw backlog.failure
    await Promise.all([
      this.sendPackets(effects),
      this.publish(effects),
      this.writeViews(effects.views, version, commit),
    ])
  }

  /** Resolves when every table block is acknowledged. */
  settled(): Promise<void> {
    return this.backlog.settled()
  }

  /** The task is gone: blocks that wait are the next owner's. */
  end(): void {
    this.backlog.end()
  }

  private async sendPackets({ packets }: Effects): Promise<void> {
    if (packets.length === 0) return
    const { writer, outlets, clock } = this.settings
    const byReceiver = new Map<string, OutgoingPacket[]>()
    for (const packet of packets) {
      const to = `${packet.kind}-${packet.partition}`
      const list = byReceiver.get(to)
      if (list) list.push(packet)
      else byReceiver.set(to, [packet])
    }
    await writer.appendAll(
      [...byReceiver.values()].map(list => {
        const [{ kind, partition }] = list
        const bytes = list.reduce((sum, { value }) => sum + value.length + 128, 0)
        const builder = new RecordBatchBuilder(bytes)
        for (const { value } of list) builder.add(null, value)
        return {
          at: { topic: outlets.names.deltas(kind), partition },
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
}
