import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53, partitionOfText, randomFrom } from '../../streams/serde/hash.ts'
import type { Alert, Outbox, TableRow } from '../../streams/topology/outbox.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import type { UserEvent } from '../user/event.ts'
import { driftChannel } from './deltas.ts'
import { driftOptions } from './options.ts'
import { createDriftStatisticsStage } from './statistics-stage.ts'
import { binOf, numberSubjects } from './subjects.ts'
import { createDriftUserStage } from './user-stage.ts'

const minute = 60_000
const t0 = 1_790_000_000_000 - (1_790_000_000_000 % (24 * 60 * minute))

interface Out extends Outbox {
  readonly packets: Map<number, ByteWriter>
  readonly rows: { table: string; row: TableRow }[]
  readonly alerts: Alert[]
}

function outbox(): Out {
  const packets = new Map<number, ByteWriter>()
  const rows: { table: string; row: TableRow }[] = []
  const alerts: Alert[] = []
  return {
    packets,
    rows,
    alerts,
    delta(channel, partition) {
      expect(channel).toBe(driftChannel)
      const packet = packets.get(partition) ?? new ByteWriter()
      packets.set(partition, packet)
      return packet
    },
    row: (table, row) => void rows.push({ table, row: JSON.parse(JSON.stringify(row)) }),
    alert: alert => void alerts.push(alert),
    deadLetter: () => undefined,
    view: () => undefined,
    publish: () => undefined,
  }
}

/** A stage with its changelog; `restart` makes it anew from the rows written at its commits. */
class Held<E> {
  stage: Stage<E>
  private readonly make: () => Stage<E>
  private readonly changelog = new Map<string, { store: number; key: Buffer; value: Buffer }>()

  constructor(make: () => Stage<E>) {
    this.make = make
    this.stage = make()
  }

  commit(): Out {
    const out = outbox()
    this.stage.flush?.(out)
    const w = new ByteWriter()
    for (const store of (this.stage.stores ?? []) as unknown as Store<Row>[])
      for (const row of store.take(1e9)) {
        store.spec.writeKey(row, w.reset())
        const key = w.copy()
        const name = `${store.spec.id} ${key.toString('hex')}`
        if (row.removed) {
          this.changelog.delete(name)
          continue
        }
        store.spec.writeValue(row, w.reset())
        this.changelog.set(name, { store: store.spec.id, key, value: w.copy() })
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

/** User tasks and statistic tasks without a runtime between them. */
class Pipeline {
  now = 1_000_000
  readonly users: Held<UserEvent>[]
  readonly statistics: Held<never>[]
  readonly tables = new Map<string, Map<string, TableRow>>()
  readonly alerts: Alert[] = []

  constructor(partitions: number, statistics: number, flags: Record<string, string> = {}) {
    const { values } = resolveOptions(driftOptions, {
      flags: { 'drift.context': 'device', ...flags },
      environment: {},
      file: {},
    })
    const partitionsOf = (kind: string) => (kind === 'user' ? partitions : statistics)
    const common = { partitionsOf, metrics: noMetrics, log: silentLogger, now: () => this.now }
    this.users = Array.from(
      { length: partitions },
      (_, partition) => new Held(() => createDriftUserStage(values, { ...common, partition })),
    )
    this.statistics = Array.from(
      { length: statistics },
      () => new Held(() => createDriftStatisticsStage(values, common)),
    )
  }

  taskOf(userId: string): Held<UserEvent> {
    return this.users[partitionOfText(userId, this.users.length)]
  }

  send(event: UserEvent): void {
    this.taskOf(event.userId).stage.process?.(event)
  }

  commitUser(index: number): void {
    for (const [to, packet] of this.users[index].commit().packets)
      this.statistics[to].stage.receive?.(driftChannel, new ByteReader(packet.copy()))
  }

  commitStatistics(): void {
    for (const task of this.statistics) {
      const out = task.commit()
      this.alerts.push(...out.alerts)
      for (const { table, row } of out.rows) this.store(table, row)
    }
  }

  /** As ReplacingMergeTree would: the highest revision of a key. */
  private store(table: string, row: TableRow): void {
    const key = [
      'subject',
      'segment',
      'window_start',
      'window_end',
      'edges_id',
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
    this.now += 20_000
    this.commitStatistics()
  }
}

const facts = {
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

function impression(
  userId: string,
  ts: number,
  given: { position?: number; score?: number | null; surface?: string; device?: string },
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
      policy: '',
      modelVersion: '',
      listVersion: null,
      listIndex: null,
      candidateSource: 'other',
      propensity: null,
      explore: false,
    },
  } as UserEvent
}

function watch(
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

/** What the windows must hold, counted again from the events by the contract's words alone. */
function recount(events: readonly UserEvent[]): Map<string, Map<string, number>> {
  const counts = new Map<string, Map<string, number>>()
  const sizes = [minute, 60 * minute, 1440 * minute]
  const addTo = (subject: string, surface: string, ms: number, ts: number, bin: string) => {
    const start = Math.floor(ts / ms) * ms
    for (const segment of ['', `surface=${surface}`]) {
      const key = [subject, segment, start, start + ms].join('|')
      const bins = counts.get(key) ?? new Map<string, number>()
      counts.set(key, bins)
      bins.set(bin, (bins.get(bin) ?? 0) + 1)
    }
  }
  const number = (name: string, value: number) =>
    `${binOf((numberSubjects.find(each => each.name === name) as { edges: Float64Array }).edges, value)}`
  for (const ms of sizes) {
    const plays = new Map<string, { ts: number; watchedMs: number; durationMs: number }>()
    for (const event of events) {
      if (event.kind === 'erasure') continue
      const { surface } = event.event
      if (event.closedSessionMs >= 0)
        addTo(
          'feature:session_length',
          surface,
          ms,
          event.ts,
          number('feature:session_length', event.closedSessionMs),
        )
      if (event.kind === 'impression') {
        addTo(
          'feature:position',
          surface,
          ms,
          event.ts,
          number('feature:position', event.event.position),
        )
        if (event.event.score !== null)
          addTo(
            'prediction:ranker',
            surface,
            ms,
            event.ts,
            number('prediction:ranker', event.event.score),
          )
        const device = event.event.context.device
        if (device) addTo('feature:context.device', surface, ms, event.ts, device)
      }
      if (event.kind === 'watch') {
        const { playId, watchedMs, durationMs } = event.event
        const key = `${playId}|${Math.floor(event.ts / ms)}`
        const last = plays.get(key)
        if (!last || watchedMs > last.watchedMs)
          plays.set(key, { ts: event.ts, watchedMs, durationMs })
      }
    }
    for (const { ts, watchedMs, durationMs } of plays.values()) {
      addTo('feature:watched_ms', 'home', ms, ts, number('feature:watched_ms', watchedMs))
      if (durationMs > 0)
        addTo(
          'feature:watched_ratio',
          'home',
          ms,
          ts,
          number('feature:watched_ratio', Math.min(1, watchedMs / durationMs)),
        )
    }
  }
  return counts
}

/** The fine histograms written, in the recount's form. */
function written(pipeline: Pipeline, until: number): Map<string, Map<string, number>> {
  const result = new Map<string, Map<string, number>>()
  for (const row of pipeline.rows('histograms')) {
    const id = String(row.edges_id)
    if (id.includes('@') || id.startsWith('reference:') || row.subject === 'label:positive')
      continue
    if (Number(row.window_start) >= until) continue
    const names = row.categories as string[]
    const bins = new Map<string, number>()
    for (const [bin, count] of (row.counts as number[]).entries())
      if (count !== 0) bins.set(names[bin] ?? `${bin}`, count)
    if (bins.size > 0)
      result.set([row.subject, row.segment, row.window_start, row.window_end].join('|'), bins)
  }
  return result
}

const sorted = (counts: Map<string, Map<string, number>>) =>
  [...counts]
    .map(([key, bins]) => [key, [...bins].sort()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))

/** Out-of-order plays, impressions and session ends of a few users over `minutes`. */
function eventsFrom(seed: number, minutes: number): UserEvent[] {
  const random = randomFrom(hash53(`events ${seed}`))
  const list: { arrives: number; event: UserEvent }[] = []
  const add = (event: UserEvent) =>
    list.push({ arrives: event.ts + (random() < 0.2 ? random() * 4 * minute : 0), event })
  for (let u = 0; u < 6; u++)
    for (let p = 0; p < 4; p++) {
      const user = `u${u}`
      const start = t0 + Math.floor(random() * minutes * minute)
      const surface = random() < 0.5 ? 'home' : 'shorts'
      const score = random() < 0.3 ? null : (random() - 0.3) * 20
      const device = random() < 0.2 ? undefined : `d${Math.floor(random() * 3)}`
      add(impression(user, start, { position: Math.floor(random() * 30), score, surface, device }))
      const durationMs = random() < 0.2 ? 0 : 100_000
      let watchedMs = 0
      for (let beat = 0; beat < 6; beat++) {
        watchedMs += Math.floor(random() * 30_000)
        const closedSessionMs = random() < 0.1 ? Math.floor(random() * 1e7) : -1
        const ts = start + beat * 40_000
        add(watch(user, ts, { playId: `p${u}-${p}`, watchedMs, durationMs, closedSessionMs }))
      }
    }
  return list.sort((a, b) => a.arrives - b.arrives).map(each => each.event)
}

describe('windows', () => {
  it('equal a recount, whatever the partitions, commits, order of packets and restarts (D1)', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (seed, partitions, statistics) => {
          const random = randomFrom(hash53(`run ${seed}`))
          const events = eventsFrom(seed, 150)
          const pipeline = new Pipeline(partitions, statistics)
          for (const event of events) {
            pipeline.send(event)
            const dice = random()
            if (dice < 0.3) pipeline.commitUser(Math.floor(random() * partitions))
            else if (dice < 0.4) {
              pipeline.now += 3_000
              pipeline.commitStatistics()
            } else if (dice < 0.43) {
              const task = Math.floor(random() * partitions)
              pipeline.commitUser(task)
              pipeline.users[task].restart()
            } else if (dice < 0.46) {
              pipeline.commitStatistics()
              for (const task of pipeline.statistics) task.restart()
            }
          }
          const end = t0 + 3 * 1440 * minute
          pipeline.drain(end)
          expect(sorted(written(pipeline, end))).toEqual(sorted(recount(events)))
        },
      ),
      { numRuns: 40 },
    )
  })

  it('are corrected by what comes late, with a newer revision, and not once the grace is over', () => {
    const pipeline = new Pipeline(1, 1, { 'drift.grace': '1h' })
    pipeline.send(impression('a', t0, { position: 3 }))
    pipeline.drain(t0 + 5 * minute)
    const row = () =>
      pipeline
        .rows('histograms')
        .find(
          each =>
            each.subject === 'feature:position' &&
            each.segment === '' &&
            each.window_start === t0 &&
            each.window_end === t0 + minute,
        )
    expect(row()).toMatchObject({ n: 1, revision: 1 })
    pipeline.send(impression('a', t0 + 10, { position: 3 }))
    pipeline.drain(t0 + 6 * minute)
    expect(row()).toMatchObject({ n: 2, revision: 2 })
    pipeline.send(impression('a', t0 + 70 * minute, {}))
    pipeline.drain(t0 + 71 * minute)
    pipeline.send(impression('a', t0 + 10, { position: 3 }))
    pipeline.drain(t0 + 72 * minute)
    expect(row()).toMatchObject({ n: 2, revision: 2 })
  })

  it('are held open by the slowest partition, but not by one that fell silent', () => {
    const pipeline = new Pipeline(2, 1)
    const closed = () => pipeline.rows('histograms').length > 0
    const users = ['a', 'b', 'c', 'd', 'e', 'f']
    const fast = users.find(user => pipeline.taskOf(user) === pipeline.users[0]) as string
    const slow = users.find(user => pipeline.taskOf(user) === pipeline.users[1]) as string
    pipeline.send(impression(fast, t0 + 5 * minute, {}))
    pipeline.commitAll()
    expect(closed()).toBe(false)
    pipeline.send(impression(slow, t0, {}))
    pipeline.commitAll()
    expect(closed()).toBe(false)
    pipeline.now += 9_000
    pipeline.send(impression(fast, t0 + 6 * minute, {}))
    pipeline.commitAll()
    expect(closed()).toBe(false)
    pipeline.now += 2_000
    pipeline.commitAll()
    expect(closed()).toBe(true)
  })
})

describe('plays', () => {
  it('of users without full consent are counted alike and never written', () => {
    const pipeline = new Pipeline(1, 1)
    for (const consent of ['full', 'contextual'] as const)
      for (let beat = 0; beat < 3; beat++)
        pipeline.send(
          watch(consent, t0 + beat * 50_000, {
            playId: consent,
            watchedMs: beat * 10_000,
            consent,
          }),
        )
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(2) // one play and the watermark
    // less consent later takes the stored play out
    pipeline.send(
      watch('full', t0 + 160_000, { playId: 'full', watchedMs: 60_000, consent: 'contextual' }),
    )
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(1)
    pipeline.drain(t0 + 2880 * minute)
    const day = pipeline
      .rows('histograms')
      .find(
        row =>
          row.subject === 'feature:watched_ratio' &&
          Number(row.window_end) - Number(row.window_start) === 1440 * minute,
      )
    expect(day).toMatchObject({ n: 2 })
  })

  it('are forgotten an hour after their last heartbeat, and with an erasure', () => {
    const pipeline = new Pipeline(1, 1)
    pipeline.send(watch('a', t0, { playId: 'p', watchedMs: 1 }))
    pipeline.send(watch('b', t0 + 59 * minute, { playId: 'p', watchedMs: 1 }))
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(3)
    pipeline.send(impression('c', t0 + 62 * minute, {}))
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(2)
    pipeline.send({ ...facts, kind: 'erasure', userId: 'b', ts: 0 } as unknown as UserEvent)
    pipeline.send(impression('c', t0 + 62 * minute, {}))
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(1)
  })
})

/** Minutes of plays; `shift` gives the mean watched share of a minute. */
function play(pipeline: Pipeline, minutes: number, shift: (m: number) => number, from = 0): void {
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

describe('alerts', () => {
  const flags = { 'drift.reference.windows': '5' }
  const ratioAlerts = (pipeline: Pipeline) =>
    pipeline.alerts.filter(
      each => each.rule === 'drift_1m' && each.subject === 'feature:watched_ratio',
    )

  it('rise soon after a shift and not before, end when it is over, and survive a restart', () => {
    const pipeline = new Pipeline(2, 1, flags)
    const shifted = (m: number) => (m >= 30 && m < 45 ? 0.7 : 0.45)
    play(pipeline, 30, shifted)
    expect(pipeline.alerts).toEqual([])
    for (let m = 30; m < 60; m++) {
      play(pipeline, 1, shifted, m)
      for (const task of [...pipeline.users, ...pipeline.statistics]) task.restart()
    }
    const alerts = ratioAlerts(pipeline)
    expect(alerts).toHaveLength(2)
    const [raised, cleared] = alerts
    expect(raised).toMatchObject({ since: t0 + 30 * minute, until: null })
    expect(raised.value).toBeGreaterThan(raised.threshold)
    expect(cleared).toMatchObject({ since: t0 + 30 * minute, until: t0 + 48 * minute })
    expect(
      pipeline
        .rows('alerts')
        .filter(row => row.subject === 'feature:watched_ratio' && row.rule === 'drift_1m'),
    ).toMatchObject([{ revision: 2, until: t0 + 48 * minute }])
  })

  it('stay silent over a quiet day of alike events', () => {
    const pipeline = new Pipeline(1, 1, flags)
    play(pipeline, 240, () => 0.45)
    expect(pipeline.alerts).toEqual([])
    const psi = pipeline.rows('drift').filter(row => row.statistic === 'psi' && row.value !== null)
    expect(psi.length).toBeGreaterThan(600)
    expect(psi.filter(row => row.alert).length / psi.length).toBeLessThan(0.005)
  })

  it('the figures can be computed again from the histograms written', () => {
    const pipeline = new Pipeline(1, 1, flags)
    play(pipeline, 12, () => 0.5)
    const start = t0 + 9 * minute
    const pick = (id: (edgesId: string) => boolean, window?: number) =>
      pipeline
        .rows('histograms')
        .find(
          row =>
            row.subject === 'feature:watched_ratio' &&
            row.segment === '' &&
            id(String(row.edges_id)) &&
            (window === undefined
              ? Number(row.window_end) - Number(row.window_start) === 5 * minute
              : row.window_start === window && Number(row.window_end) === window + minute),
        )?.counts as number[]
    const r = pick(id => id.startsWith('reference:first@'))
    const c = pick(id => id.startsWith('first@'), start)
    const share = (counts: number[], i: number) =>
      (counts[i] + 0.5) / (counts.reduce((a, b) => a + b, 0) + counts.length / 2)
    const psi = r.reduce(
      (sum, _, i) => sum + (share(r, i) - share(c, i)) * Math.log(share(r, i) / share(c, i)),
      0,
    )
    const row = pipeline
      .rows('drift')
      .find(
        each =>
          each.subject === 'feature:watched_ratio' &&
          each.segment === '' &&
          each.statistic === 'psi' &&
          each.window_start === start &&
          each.window_end === start + minute,
      )
    expect(row?.value).toBeCloseTo(psi, 12)
    expect(row).toMatchObject({ reference: 'first', alert: false, reason: '' })
  })

  it('values are never NaN: constants, empty windows, tiny references are null with a reason', () => {
    const pipeline = new Pipeline(1, 1, { 'drift.reference.windows': '1', 'drift.minRows': '1' })
    for (let m = 0; m < 20; m++) {
      const users = m === 7 ? 0 : m % 5 === 0 ? 1 : 40
      for (let u = 0; u < users; u++)
        pipeline.send(
          impression(`u${u}`, t0 + m * minute + u, {
            position: 0,
            score: m === 3 ? Number.NaN : m % 4 === 1 ? null : 0.5,
            device: m > 10 ? `new${u}` : undefined,
          }),
        )
      pipeline.now += minute
      pipeline.commitAll()
    }
    pipeline.drain(t0 + 60 * minute)
    const rows = pipeline.rows('drift')
    expect(rows.length).toBeGreaterThan(100)
    for (const row of rows) {
      if (row.value === null) expect(row.reason).not.toBe('')
      else expect(Number.isFinite(row.value)).toBe(true)
    }
    const position = rows.filter(
      row => row.subject === 'feature:position' && row.statistic === 'psi',
    )
    expect(position.some(row => row.value !== null && Number(row.value) < 0.01)).toBe(true)
  })
})
