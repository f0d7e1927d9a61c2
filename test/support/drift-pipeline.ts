/**
 * The drift stages without a runtime between them: user tasks, statistic tasks, their changelogs and the tables they fill.
 * Restarts make a stage anew from the rows it committed. For tests.
 */
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53, partitionOfText, randomFrom } from '../../streams/serde/hash.ts'
import type { Alert, DeltaChannel, Outbox, TableRow } from '../../streams/topology/outbox.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { noRules } from '../../topologies/alerts/rule-file.ts'
import { alertRules } from '../../topologies/alerts/rules.ts'
import { createAlertsStage } from '../../topologies/alerts/statistics-stage.ts'
import { driftOptions } from '../../topologies/drift/options.ts'
import { ReferenceBook } from '../../topologies/drift/reference-book.ts'
import { createDriftStatisticsStage } from '../../topologies/drift/statistics-stage.ts'
import { createDriftUserStage, type DriftUserStage } from '../../topologies/drift/user-stage.ts'
import { Watermark } from '../../topologies/drift/watermark.ts'
import type { ServedFeatures } from '../../topologies/served/features.ts'
import type { UserEvent } from '../../topologies/user/event.ts'

export const minute = 60_000
/** The start of a day. */
export const t0 = 1_790_000_000_000 - (1_790_000_000_000 % (24 * 60 * minute))

interface Packet {
  readonly channel: DeltaChannel
  readonly to: number
  readonly bytes: ByteWriter
}

interface Out extends Outbox {
  readonly packets: Packet[]
  readonly rows: { table: string; row: TableRow }[]
  readonly alerts: Alert[]
}

function outbox(): Out {
  const packets: Packet[] = []
  const rows: { table: string; row: TableRow }[] = []
  const alerts: Alert[] = []
  return {
    packets,
    rows,
    alerts,
    delta(channel, partition) {
      let packet = packets.find(each => each.channel === channel && each.to === partition)
      if (!packet) {
        packet = { channel, to: partition, bytes: new ByteWriter() }
        packets.push(packet)
      }
      return packet.bytes
    },
    row: (table, row) => void rows.push({ table, row: JSON.parse(JSON.stringify(row)) }),
    alert: alert => void alerts.push(alert),
    deadLetter: () => undefined,
    view: () => undefined,
    publish: () => undefined,
    version: '',
  }
}

/** A stage with its changelog; `restart` makes it anew from the rows written at its commits. */
export class Held<E, S extends Stage<E> = Stage<E>> {
  stage: S
  /** Of the rows that the last commit wrote to the changelog. */
  bytes = 0
  private readonly make: () => S
  private readonly changelog = new Map<string, { store: number; key: Buffer; value: Buffer }>()

  constructor(make: () => S) {
    this.make = make
    this.stage = make()
  }

  commit(): Out {
    const out = outbox()
    this.stage.flush?.(out)
    const w = new ByteWriter()
    this.bytes = 0
    for (const store of (this.stage.stores ?? []) as unknown as Store<Row>[])
      for (const row of store.take(1e9)) {
        store.spec.writeKey(row, w.reset())
        const key = w.copy()
        this.bytes += key.length
        const name = `${store.spec.id} ${key.toString('hex')}`
        if (row.removed) {
          this.changelog.delete(name)
          continue
        }
        store.spec.writeValue(row, w.reset())
        this.changelog.set(name, { store: store.spec.id, key, value: w.copy() })
        this.bytes += w.length
      }
    return out
  }

  restart(): void {
    this.stage = this.make()
    for (const { store, key, value } of this.changelog.values())
      ((this.stage.stores ?? []) as unknown as Store<Row>[])
        .find(each => each.spec.id === store)
        ?.spec.restore(new ByteReader(key), new ByteReader(value))
    this.stage.restored?.([])
  }

  get rowCount(): number {
    return this.changelog.size
  }
}

/** Two stages of a task as one. */
function inOne(first: Stage<never>, last: Stage<never>): Stage<never> {
  return {
    ...first,
    stores: [...(first.stores ?? []), ...(last.stores ?? [])],
    flush(out) {
      first.flush?.(out)
      last.flush?.(out)
    },
  }
}

/** User tasks and statistic tasks without a runtime between them. */
export class Pipeline {
  now = 1_000_000
  readonly users: Held<UserEvent, DriftUserStage>[]
  readonly statistics: Held<never>[]
  readonly tables = new Map<string, Map<string, TableRow>>()
  readonly alerts: Alert[] = []
  /** References that were set by hand. */
  readonly book = new ReferenceBook()

  /** `served`: features as served, where drift.features names some. */
  constructor(
    partitions: number,
    statistics: number,
    flags: Record<string, string> = {},
    served?: Pick<ServedFeatures, 'of'>,
  ) {
    const { values } = resolveOptions(driftOptions, {
      flags: { 'drift.context': 'device', 'drift.reference.warmUp': '0s', ...flags },
      environment: {},
      file: {},
    })
    const partitionsOf = (kind: string) => (kind === 'user' ? partitions : statistics)
    const common = { partitionsOf, metrics: noMetrics, log: silentLogger, now: () => this.now }
    this.users = Array.from(
      { length: partitions },
      (_, partition) =>
        new Held(() => createDriftUserStage(values, { ...common, partition }, served)),
    )
    this.statistics = Array.from(
      { length: statistics },
      (_, partition) =>
        new Held(() => {
          const watermark = new Watermark(values['drift.idle'], () => partitions)
          const rules = alertRules({ ...values, 'alerts.rules': noRules })
          const judging = createAlertsStage({ rules, database: 'freshet' }, common)
          const drift = createDriftStatisticsStage(
            values,
            { ...common, partition },
            watermark,
            this.book,
          )
          return inOne(judging.watch(drift), judging.stage)
        }),
    )
  }

  taskOf(userId: string): Held<UserEvent> {
    return this.users[partitionOfText(userId, this.users.length)]
  }

  send(event: UserEvent): void {
    this.taskOf(event.userId).stage.process?.(event)
  }

  commitUser(index: number): void {
    for (const { channel, to, bytes } of this.users[index].commit().packets)
      this.statistics[to].stage.receive?.(channel, new ByteReader(bytes.copy()))
  }

  commitStatistics(): void {
    // as the runtime does: a commit takes so many windows, and the next follows at once where more are due
    for (const task of this.statistics)
      do {
        const out = task.commit()
        this.alerts.push(...out.alerts)
        for (const { table, row } of out.rows) this.store(table, row)
      } while (task.stage.urgent?.())
  }

  /** As ReplacingMergeTree would: the highest revision of a key. */
  private store(table: string, row: TableRow): void {
    const key = [
      'subject',
      'segment',
      'window_start',
      'window_end',
      'edges_id',
      'profile',
      'statistic',
      'rule',
      'since',
    ]
      .map(name => row[name])
      .join('|')
    const rows = this.tables.get(table) ?? new Map<string, TableRow>()
    this.tables.set(table, rows)
    if (Number(rows.get(key)?.revision ?? 0) <= Number(row.revision)) rows.set(key, row)
  }

  rows(table: string): TableRow[] {
    return [...(this.tables.get(table)?.values() ?? [])]
  }

  commitAll(): void {
    for (let i = 0; i < this.users.length; i++) this.commitUser(i)
    this.commitStatistics()
  }

  /** Ends the stream: an event far ahead in each partition closes all windows, corrections are let out. */
  drain(at: number): void {
    for (const task of this.users) task.stage.process?.(impression('end', at, {}))
    this.commitAll()
    this.pass(20_000)
  }

  /** Processing time passes and nothing comes; the statistic tasks commit on, as they do live. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1_000) {
      this.now += Math.min(left, 1_000)
      this.commitStatistics()
    }
  }
}

export const facts = {
  topic: 'events',
  offset: 0,
  recordTs: 0,
  user: null,
  playStarted: false,
  watchedMs: 0,
  positive: false,
  firstPositive: false,
  completed: false,
  skipped: false,
  sessionStarted: false,
  closedSessionMs: -1,
  item: 0,
  cohort: '',
  consent: 'full' as const,
}
const common = {
  eventId: '',
  itemId: 'i',
  requestId: '',
  surface: 'home',
  cohort: '',
  context: {},
  experiments: {},
  consent: 'full' as const,
}

export function impression(
  userId: string,
  ts: number,
  given: {
    position?: number
    score?: number | null
    surface?: string
    device?: string
    cohort?: string
    policy?: string
    model?: string
  },
): UserEvent {
  return {
    ...facts,
    kind: 'impression',
    userId,
    ts,
    event: {
      ...common,
      userId,
      ts,
      position: given.position ?? 0,
      score: given.score ?? null,
      surface: given.surface ?? 'home',
      context: given.device ? { device: given.device } : {},
      slateSize: 10,
      cohort: given.cohort ?? '',
      policy: given.policy ?? '',
      modelVersion: given.model ?? '',
      listVersion: null,
      listIndex: null,
      candidateSource: 'other',
      propensity: null,
      explore: false,
    },
  } as UserEvent
}

export function watch(
  userId: string,
  ts: number,
  given: {
    playId: string
    watchedMs: number
    durationMs?: number
    positive?: boolean
    closedSessionMs?: number
    consent?: 'full' | 'contextual'
  },
): UserEvent {
  const { positive = false, closedSessionMs = -1, consent = 'full' } = given
  return {
    ...facts,
    kind: 'watch',
    userId,
    ts,
    positive,
    closedSessionMs,
    consent,
    event: {
      ...common,
      consent,
      userId,
      ts,
      playId: given.playId,
      watchedMs: given.watchedMs,
      durationMs: given.durationMs ?? 100_000,
      seq: 0,
      endReason: 'none',
    },
  } as UserEvent
}

/** Minutes of plays; `shift` gives the mean watched share of a minute. */
export function play(
  pipeline: Pipeline,
  minutes: number,
  shift: (m: number) => number,
  from = 0,
): void {
  const random = randomFrom(hash53(`plays ${from}`))
  for (let m = from; m < from + minutes; m++) {
    for (let u = 0; u < 120; u++) {
      const user = `user${Math.floor(random() * 400)}`
      const taste = (hash53(user) % 1000) / 1000 - 0.5
      for (let p = 0; p < 3; p++) {
        const share = Math.max(0, Math.min(1, shift(m) + 0.5 * taste + 0.3 * (random() - 0.5)))
        pipeline.send(
          watch(user, t0 + m * minute + Math.floor(random() * minute), {
            playId: `${m}-${u}-${p}`,
            watchedMs: Math.floor(share * 100_000),
            positive: share > 0.5,
          }),
        )
      }
    }
    pipeline.now += minute
    pipeline.commitAll()
  }
}
