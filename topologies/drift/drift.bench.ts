/**
 * What drift costs with its default options: `npx tsx topologies/drift/drift.bench.ts [events per second] [drift.features] [events]`. CPU seconds a
 * million events of the user task's stage and of the statistic task's, rows as the changelog takes them included.
 *
 * 1,500,000 events at 5,000 a second of event time, five minutes whose windows close: pages of 10 impressions with scores, of which 2 are watched, 3 heartbeats
 * each, a second apart; 20,000 users, 2 surfaces, 4 cohorts, 2 policies; device and network as contexts. A user commit every
 * 100 ms, a statistic commit every second. Not measured: decoding, sessions, what a batch costs beyond its rows, sinks.
 */
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { DeltaChannel, Outbox } from '../../streams/topology/outbox.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { impression, t0, watch } from '../../test/support/drift-pipeline.ts'
import { featureCount } from '../blend/features.ts'
import type { UserEvent } from '../user/event.ts'
import { driftOptions } from './options.ts'
import { createDriftStatisticsStage } from './statistics-stage.ts'
import { createDriftUserStage } from './user-stage.ts'
import { Watermark } from './watermark.ts'

const count = Number(process.argv[4] ?? 1_500_000)
const perSecond = Number(process.argv[2] ?? 5_000)
const perPage = 16

/** 64 pages go on at a time, an event each in turn. */
function eventAt(n: number): UserEvent {
  const round = Math.floor(n / 64)
  const page = (n % 64) + 64 * Math.floor(round / perPage)
  const at = round % perPage
  const ts = t0 + Math.floor((n * 1000) / perSecond)
  const user = (page * 7919) % 20_000
  const common = {
    surface: page % 3 ? 'home' : 'next',
    cohort: `cohort-${user % 4}`,
    context: { device: user % 2 ? 'tv' : 'phone', network: user % 5 ? 'wifi' : 'mobile' },
  }
  const made =
    at < 10
      ? impression(`user-${user}`, ts, {
          position: at,
          score: ((n * 2654435761) % 1000) / 1000,
          policy: page % 2 ? 'blend' : 'popular',
          model: 'm1',
        })
      : watch(`user-${user}`, ts, {
          playId: `play-${page}-${Math.floor((at - 10) / 3)}`,
          watchedMs: 10_000 * (1 + ((at - 10) % 3)) + (page % 7) * 900,
          durationMs: 60_000,
          positive: (at - 10) % 3 === 2,
        })
  return { ...made, event: { ...made.event, ...common } } as UserEvent
}

interface Packet {
  readonly channel: DeltaChannel
  readonly bytes: ByteWriter
}

let rows = 0
let rowBytes = 0
const key = new ByteWriter()
const value = new ByteWriter()

/** As the runtime does: what leaves, then every changed row. */
function commit(stage: Stage<never> | Stage<UserEvent>): Packet[] {
  const packets: Packet[] = []
  const out: Partial<Outbox> = {
    delta(channel) {
      const known = packets.find(each => each.channel === channel)
      if (known) return known.bytes
      const packet = { channel, bytes: new ByteWriter() }
      packets.push(packet)
      return packet.bytes
    },
    row: () => void rows++,
  }
  stage.flush?.(out as Outbox)
  for (const store of (stage.stores ?? []) as unknown as Store<Row>[])
    for (const row of store.take(1e9)) {
      store.spec.writeKey(row, key.reset())
      if (!row.removed) store.spec.writeValue(row, value.reset())
      rowBytes += key.length + value.length
    }
  return packets
}

const { values } = resolveOptions(driftOptions, {
  flags: {
    'drift.reference.warmUp': '0s',
    'drift.reference.windows': '1',
    'drift.features': process.argv[3] ?? 'none',
  },
  environment: {},
  file: {},
})
/** A third of the values are 0; what finding a row in its list costs is not measured. */
const someRows = Array.from({ length: 1_000 }, (_, k) =>
  Float32Array.from({ length: featureCount }, (_, f) => {
    const hash = ((k * 31 + f) * 2654435761) % 1000
    return hash < 333 ? 0 : (hash - 500) / (f % 2 ? 500 : 50)
  }),
)
let asked = 0
const served = { of: () => someRows[asked++ % someRows.length] }
let now = 0
const ctx = {
  partition: 0,
  partitionsOf: () => 1,
  now: () => now,
  metrics: noMetrics,
  log: silentLogger,
}

for (let round = 0; round < 3; round++) {
  const user = createDriftUserStage(values, ctx, served)
  const watermark = new Watermark(values['drift.idle'], () => 1)
  const statistics = createDriftStatisticsStage(values, ctx, watermark)
  const spent = { user: 0, statistics: 0 }
  const measured = (part: keyof typeof spent, work: () => void): void => {
    const before = process.cpuUsage()
    work()
    const { user: inUser, system } = process.cpuUsage(before)
    spent[part] += inUser + system
  }
  rows = 0
  rowBytes = 0
  let packets: Packet[] = []
  let packetBytes = 0
  for (let n = 0; n < count; n += perSecond) {
    const events = Array.from({ length: perSecond }, (_, i) => eventAt(n + i))
    measured('user', () => {
      for (let each = 0; each < 10; each++) {
        for (const event of events.slice((each * perSecond) / 10, ((each + 1) * perSecond) / 10))
          user.process?.(event)
        packets.push(...commit(user))
      }
    })
    now += 1_000
    measured('statistics', () => {
      for (const { channel, bytes } of packets) {
        packetBytes += bytes.length
        statistics.receive?.(channel, new ByteReader(bytes.bytes()))
      }
      packets = []
      do commit(statistics)
      while (statistics.urgent?.())
    })
  }
  const each = (microseconds: number): string => (microseconds / count).toFixed(2)
  console.log(
    `CPU-s a million events: user ${each(spent.user)}, statistics ${each(spent.statistics)}; ${(packetBytes / count).toFixed(1)} B of packets and ${(rowBytes / count).toFixed(1)} B of rows an event; ${rows} table rows`,
  )
}
