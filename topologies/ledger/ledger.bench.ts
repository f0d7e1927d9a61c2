/**
 * What online quality and calibration cost, on both sides: `npx tsx topologies/ledger/ledger.bench.ts [events per second]`.
 * The same Avro events go through user and statistic tasks as the recommender composes them, without transport and sinks:
 * with labels alone, with drift beside them, and with quality too. Prints CPU-seconds per million events; what quality costs
 * is the difference of the last two.
 *
 * 600,000 events at 5,000 a second (of event time; waits of labels and sessions are shortened, so that within it nearly all
 * end): visits of 3 pages of 10 impressions with scores, of which 2 are watched, 3
 * heartbeats each; 2 policies, 2 surfaces, 4 cohorts, an experiment of 2 arms. Commits every 100 ms and every second.
 */
import { Decoder, Encoder, type RecordDrafts, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { TaskCore } from '../../streams/runtime/core.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import { MemoryItemTable } from '../items/memory-table.ts'
import { createApplication, parseTopologies } from '../main.ts'
import { topologyOptions } from '../options.ts'

const registry = new SchemaRegistry({ url: 'mock://bench' })
const encoder = await Encoder.open(registry, 'freshet.')
const count = 600_000
const perSecond = Number(process.argv[2] ?? 5000)
const START = 1_790_000_000_000
const pages = 3
const shown = 10
const heartbeats = 3
const perPage = shown + 2 * heartbeats
const visit = pages * perPage

/** Event `n` of the log: 64 visits go on at a time, an event each in turn. */
function record(n: number): LogRecord {
  const together = 64
  const round = Math.floor(n / together)
  const visitor = (n % together) + together * Math.floor(round / visit)
  const step = round % visit
  const page = Math.floor(step / perPage)
  const at = step % perPage
  const ts = START + Math.floor((n * 1000) / perSecond)
  const user = (visitor * 7919) % 20_000
  const requestId = `request-${visitor}-${page}`
  const common = {
    eventId: `0192f8a4-1c2b-7abc-8def-${String(n).padStart(12, '0')}`,
    userId: `user-${user}`,
    ts,
    requestId,
    surface: visitor % 3 ? 'home' : 'next',
    cohort: `cohort-${user % 4}`,
    context: { device: user % 2 ? 'tv' : 'phone' },
    experiments: { ranking: user % 2 ? 'a' : 'b' },
    consent: 'full' as const,
  }
  const itemOf = (position: number): string =>
    `item-${(visitor * 31 + page * 17 + position * position * 7) % 5000}`
  const value =
    at < shown
      ? encoder.encode('Impression', {
          ...common,
          itemId: itemOf(at),
          position: at,
          slateSize: shown,
          score: ((n * 2654435761) % 1000) / 1000,
          propensity: 0.1,
          policy: visitor % 2 ? 'blend' : 'popular',
          modelVersion: 'm1',
        } satisfies RecordDrafts['Impression'])
      : encoder.encode('Watch', {
          ...common,
          itemId: itemOf(Math.floor((at - shown) / heartbeats) * 4),
          playId: `play-${visitor}-${page}-${Math.floor((at - shown) / heartbeats)}`,
          seq: 1 + ((at - shown) % heartbeats),
          watchedMs: 10_000 * (1 + ((at - shown) % heartbeats)),
          durationMs: 60_000,
        } satisfies RecordDrafts['Watch'])
  return { offset: n, timestamp: ts, key: Buffer.from(common.userId), value, headers: [] }
}

const input = Array.from({ length: count }, (_, n) => record(n))
const events = new Decoder('events', registry)
for (const one of input.slice(0, visit * 64)) {
  const needs = events.decode(one.value)
  if ('needs' in needs) await events.resolve(needs.needs)
}

interface Cost {
  user: number
  statistics: number
  rows: number
  deltaBytes: number
  changelogBytes: number
}

async function run(names: string): Promise<Cost> {
  const { values } = resolveOptions(topologyOptions, {
    flags: {
      'labels.examples': 'false',
      'catalog.required': 'false',
      'labels.startWithin': '20s',
      'labels.joinWithin': '30s',
      'labels.silence': '10s',
      'labels.slack': '5s',
      'session.gap': '30s',
    },
    environment: {},
    file: {},
  })
  const { kinds } = createApplication({
    options: values,
    topologies: parseTopologies(names),
    schemas: registry,
    encoder,
    clock: systemClock,
  })
  const table = new MemoryItemTable(values, undefined)
  let now = START
  const coreOf = (name: string): TaskCore | undefined => {
    const kind = kinds.find(each => each.name === name)
    return (
      kind &&
      new TaskCore({
        kind,
        partition: 0,
        generation: 1,
        outsideName: topic => topic,
        partitionsOf: () => 1,
        now: () => now,
        wall: () => now,
        table: <T>() => table as T,
        metrics: noMetrics,
        log: silentLogger,
      })
    )
  }
  const user = coreOf('user') as TaskCore
  const statistics = coreOf('statistics')
  // schemas are resolved with the first records, before anything is measured
  for (const one of input.slice(0, visit * 64)) {
    const waits = user.process('events', one)
    if (waits) await waits
  }
  const cost: Cost = { user: 0, statistics: 0, rows: 0, deltaBytes: 0, changelogBytes: 0 }
  let packets: Buffer[] = []
  const commitUser = (): void => {
    user.tick(50)
    user.delivered()
    const commit = user.commit()
    if (!commit) return
    commit.batch.stamp(1n, 0, 0)
    packets.push(
      ...commit.effects.packets
        .filter(({ kind }) => kind === 'statistics')
        .map(({ value }) => value),
    )
    for (const { number } of commit.effects.blocks) user.blockDelivered(number)
  }
  let offset = 0
  const commitStatistics = (): void => {
    if (!statistics) return
    for (const value of packets) {
      cost.deltaBytes += value.length
      statistics.takePacket({ offset: offset++, timestamp: 0, key: null, value, headers: [] })
    }
    packets = []
    do {
      const commit = statistics.commit()
      if (!commit) break
      cost.changelogBytes += commit.batch.stamp(1n, 0, 0).length
      for (const { number, rows } of commit.effects.blocks) {
        cost.rows += rows?.length ?? 0
        statistics.blockDelivered(number)
      }
    } while (statistics.urgent())
  }
  const measured = (work: () => void): number => {
    const before = process.cpuUsage()
    work()
    const used = process.cpuUsage(before)
    return used.user + used.system
  }
  const tenth = Math.max(1, Math.floor(perSecond / 10))
  for (let n = visit * 64; n < count; ) {
    // ten commits of the user task, then one of the statistic task
    cost.user += measured(() => {
      for (let commit = 0; commit < 10; commit++) {
        const end = Math.min(count, n + tenth)
        for (; n < end; n++) user.process('events', input[n])
        now = input[Math.min(n, count - 1)].timestamp
        commitUser()
      }
    })
    cost.statistics += measured(commitStatistics)
  }
  return cost
}

for (let round = 0; round < 2; round++) {
  let before: Cost | undefined
  for (const names of ['labels', 'labels,drift', 'quality']) {
    const cost = await run(names)
    const more = (of: keyof Cost): string =>
      before
        ? ` (${(cost[of] - before[of]) / count >= 0 ? '+' : ''}${((cost[of] - before[of]) / count).toFixed(2)})`
        : ''
    console.log(
      `${names.padEnd(14)} CPU-s a million events: user ${(cost.user / count).toFixed(2)}${more('user')}, statistics ${(cost.statistics / count).toFixed(2)}${more('statistics')}; ${(cost.deltaBytes / count).toFixed(0)} B of deltas and ${(cost.changelogBytes / count).toFixed(0)} B of changelog an event, ${cost.rows} rows`,
    )
    before = cost
  }
}
