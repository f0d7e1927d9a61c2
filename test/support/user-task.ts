/**
 * A user task in a test: events as JSON go through decode, stages and commits of the real task core; its changelog is a
 * list of batches, from which `restart` builds the task anew with another item table, so with other indices.
 */
import { Decoder } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { type Commit, TaskCore } from '../../streams/runtime/core.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { FetchedBatch } from '../../streams/transport/port.ts'
import { decodeRecordSet } from '../../streams/transport/record-batch.ts'
import type { ItemTable } from '../../topologies/items/table.ts'
import { createSessionsStage } from '../../topologies/sessions/stage.ts'
import { defaultFactors, parseCreatorWeights } from '../../topologies/user/creator-weights.ts'
import { createUserDecode } from '../../topologies/user/decode.ts'
import type { UserEvent } from '../../topologies/user/event.ts'
import { UserMemory } from '../../topologies/user/user-memory.ts'
import { UserTable } from '../../topologies/user/users.ts'

export const MINUTE = 60_000
export const HOUR = 3_600_000
export const DAY = 86_400_000
export const GAP = 30 * MINUTE
export const START = Date.UTC(2026, 0, 5)

/** Just enough of an item table: indices in order of first sight. */
export function namedItems(): ItemTable {
  const ids: string[] = []
  const byId = new Map<string, number>()
  const table = {
    index(itemId: string): number {
      const known = byId.get(itemId)
      if (known !== undefined) return known
      byId.set(itemId, ids.length)
      return ids.push(itemId) - 1
    },
    idOf: (index: number): string => ids[index],
    catalog: () => undefined,
  }
  return table as unknown as ItemTable
}

export type JsonEvent = Readonly<Record<string, unknown>> & {
  readonly userId: string
  readonly ts: number
}

export interface UserTaskOptions {
  /** Stages after sessions. */
  readonly stages?: (ctx: TaskContext, users: UserTable) => readonly Stage<UserEvent>[]
  readonly lateDeadLetters?: boolean
  readonly repeatAfterMs?: number
  /** 0: every user is packed whenever nothing of it waits for a commit. */
  readonly unpackedUsers?: number
  readonly erasures?: Decoder<'erasures'>
  /** Made anew at each restart; by default names alone. */
  readonly items?: () => ItemTable
}

export class UserTask {
  core!: TaskCore
  users!: UserTable
  items!: ItemTable
  readonly batches: FetchedBatch[] = []
  readonly commits: Commit[] = []
  readonly events: UserEvent[] = []
  now = START + 365 * DAY
  private readonly options: UserTaskOptions
  private changelogEnd = 0
  private offset = 0

  constructor(options: UserTaskOptions = {}) {
    this.options = options
    this.build()
  }

  private build(): void {
    const noSchemas = { find: async () => null }
    if (this.options.items) this.items = this.options.items()
    else {
      this.items = namedItems()
      this.items.index(`decoy-${this.commits.length}`)
    }
    this.core = new TaskCore({
      kind: {
        name: 'user',
        inputs: ['events', 'erasures'],
        deltas: false,
        commitIntervalMs: 100,
        tables: ['items'],
        create: ctx => {
          this.users = new UserTable({
            items: ctx.table<ItemTable>('items'),
            gapMs: GAP,
            graceMs: DAY,
            repeatAfterMs: this.options.repeatAfterMs ?? Number.POSITIVE_INFINITY,
            creatorWeights: parseCreatorWeights(defaultFactors),
            memory: new UserMemory(this.options.unpackedUsers),
          })
          const sessions = createSessionsStage(ctx, {
            users: this.users,
            features: undefined,
            views: true,
            minIntervalMs: 200,
            lateDeadLetters: this.options.lateDeadLetters ?? false,
            surfaces: ['home'],
          })
          const seen: Stage<UserEvent> = {
            name: 'seen',
            process: event => {
              this.events.push({ ...event })
              return undefined
            },
          }
          return {
            decode: createUserDecode(ctx, {
              events: new Decoder('events', noSchemas),
              erasures: this.options.erasures ?? new Decoder('erasures', noSchemas),
            }),
            stages: [sessions, ...(this.options.stages?.(ctx, this.users) ?? []), seen] as Stage[],
          }
        },
      },
      partition: 0,
      generation: 1,
      outsideName: topic => topic,
      partitionsOf: () => 1,
      now: () => this.now,
      wall: () => this.now,
      table: <T>() => this.items as T,
      metrics: noMetrics,
      log: silentLogger,
    })
  }

  send(event: JsonEvent, record: { key?: Buffer | null; timestamp?: number } = {}): void {
    this.core.process('events', {
      offset: this.offset++,
      timestamp: record.timestamp ?? event.ts,
      key: record.key === undefined ? Buffer.from(event.userId) : record.key,
      value: Buffer.from(JSON.stringify({ consent: 'full', ...event })),
      headers: [],
    })
  }

  /** An erasure as the decoder that was given reads it. */
  erase(userId: string, value: Buffer, timestamp: number): void {
    const key = Buffer.from(userId)
    this.core.process('erasures', { offset: this.offset++, timestamp, key, value, headers: [] })
  }

  tick(): void {
    while (this.core.tick(5));
  }

  commit(): Commit | undefined {
    // what the last one sent out has arrived by now
    this.core.delivered()
    const commit = this.core.commit()
    if (this.options.unpackedUsers === 0) for (let k = 0; k < 2; k++) this.users.packIdle()
    if (!commit) return undefined
    this.commits.push(commit)
    const bytes = Buffer.from(commit.batch.stamp(1n, 0, 0))
    bytes.writeBigInt64BE(BigInt(this.changelogEnd), 0)
    const batch = decodeRecordSet(bytes, 'changelog', 0, this.changelogEnd).batches[0]
    this.batches.push(batch)
    this.changelogEnd = batch.nextOffset
    return commit
  }

  /** Commits, loses all memory, and restores from the changelog; from what compaction leaves of it where asked. */
  restart(compacted = false): void {
    this.commit()
    this.build()
    for (const batch of compacted ? compactedBatches(this.batches) : this.batches)
      this.core.restoreBatch(batch)
    this.core.restored()
  }

  /** Loses all memory but for the changelog: to measure a restore. */
  forgetState(): void {
    this.commit()
    this.forgetOutput()
    this.build()
  }

  forgetOutput(): void {
    this.commits.length = 0
    this.events.length = 0
  }

  views(): ViewWrite[] {
    return this.commits.flatMap(commit => [...commit.effects.views])
  }
}

/** Keeps only the newest record of each key, where it stood. */
function compactedBatches(batches: readonly FetchedBatch[]): FetchedBatch[] {
  const newest = new Map<string, number>()
  for (const { records } of batches)
    for (const { key, offset } of records) newest.set(String(key?.toString('latin1')), offset)
  return batches.map(batch => ({
    ...batch,
    records: batch.records.filter(
      ({ key, offset }) => newest.get(String(key?.toString('latin1'))) === offset,
    ),
  }))
}

let number = 0

export function impression(userId: string, itemId: string, ts: number, more = {}): JsonEvent {
  return { type: 'impression', eventId: `e${number++}`, userId, itemId, ts, ...more }
}

export function watch(
  userId: string,
  itemId: string,
  ts: number,
  playId: string,
  watchedMs: number,
  more = {},
): JsonEvent {
  return {
    type: 'watch',
    eventId: `e${number++}`,
    userId,
    itemId,
    ts,
    playId,
    watchedMs,
    ...more,
  }
}

export function feedback(
  userId: string,
  itemId: string,
  ts: number,
  kind: string,
  more = {},
): JsonEvent {
  return { type: 'feedback', eventId: `e${number++}`, userId, itemId, ts, kind, ...more }
}
