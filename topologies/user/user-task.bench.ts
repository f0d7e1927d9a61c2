/**
 * What the user side costs, without transport and sinks: `npx tsx --expose-gc topologies/user/user-task.bench.ts [labels]`.
 * Avro values of 5,000 users, a commit every 2,000 events (100 ms at 20,000 a second), on one core. Prints CPU per event
 * of decoding alone, of decoding + sessions, and of the whole with commits and session-features; changelog bytes per event;
 * memory per user.
 */
import { Decoder, Encoder, type RecordDrafts, SchemaRegistry } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { TaskCore } from '../../streams/runtime/core.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import { namedItems } from '../../test/support/user-task.ts'
import { createLabelsStage } from '../labels/stage.ts'
import { createSessionsStage } from '../sessions/stage.ts'
import { defaultFactors, parseCreatorWeights } from './creator-weights.ts'
import { createUserDecode } from './decode.ts'
import { UserTable } from './users.ts'

const registry = new SchemaRegistry({ url: 'mock://bench' })
const encoder = await Encoder.open(registry, 'freshet.')
const events = new Decoder('events', registry)
const erasures = new Decoder('erasures', registry)
const withLabels = process.argv.includes('labels')
const START = 1_790_000_000_000
const users = 5000

function record(n: number, name: 'Impression' | 'Watch'): LogRecord {
  const ts = START + n * 20
  const user = (Math.floor(n / 4) * 7919) % users
  const common = {
    eventId: `0192f8a4-1c2b-7abc-8def-${String(n).padStart(12, '0')}`,
    userId: `user-${user}`,
    itemId: `item-${(n * 104729) % 3000}`,
    ts,
    cohort: 'de-young',
    context: { device: 'tv', hour: String(n % 24) },
    consent: 'full' as const,
  }
  const play = Math.floor(n / (users * 4 * 5))
  const value =
    name === 'Impression'
      ? encoder.encode('Impression', {
          ...common,
          requestId: `req-${user}-${Math.floor(n / (users * 4))}`,
          position: n % 4,
          score: 1.25,
          policy: 'blend',
        } satisfies RecordDrafts['Impression'])
      : encoder.encode('Watch', {
          ...common,
          itemId: `item-${(user + play * 13) % 3000}`,
          playId: `0192f8a4-play-${user}-${play}`,
          seq: Math.floor(n / (users * 4)) % 5,
          watchedMs: 10_000 * (1 + (Math.floor(n / (users * 4)) % 5)),
          durationMs: 100_000,
        } satisfies RecordDrafts['Watch'])
  return { offset: n, timestamp: ts, key: Buffer.from(common.userId), value, headers: [] }
}

const count = 400_000
// of every four events of a user two are impressions, two heartbeats
const input = Array.from({ length: count }, (_, n) => record(n, n % 4 < 2 ? 'Impression' : 'Watch'))
for (const one of input.slice(0, 4)) {
  const needs = events.decode(one.value)
  if ('needs' in needs) await events.resolve(needs.needs)
}

interface Made {
  core: TaskCore
  table: UserTable
  decode: ReturnType<typeof createUserDecode>
  sessions: Stage
}

function make(): Made {
  const made: Partial<Made> = {}
  const items = namedItems()
  made.core = new TaskCore({
    kind: {
      name: 'user',
      inputs: ['events', 'erasures'],
      deltas: false,
      commitIntervalMs: 100,
      tables: ['items'],
      create: ctx => {
        const table = new UserTable({
          items,
          gapMs: 1_800_000,
          graceMs: 86_400_000,
          repeatAfterMs: Number.POSITIVE_INFINITY,
          creatorWeights: parseCreatorWeights(defaultFactors),
        })
        made.table = table
        made.decode = createUserDecode(ctx, { events, erasures })
        const sessions = createSessionsStage(ctx, {
          users: table,
          features: encoder,
          views: false,
          minIntervalMs: 200,
          lateDeadLetters: false,
          surfaces: ['home'],
        })
        made.sessions = sessions as Stage
        const labels = createLabelsStage(ctx, {
          users: table,
          times: {
            startWithinMs: 600_000,
            joinWithinMs: 1_800_000,
            silenceMs: 300_000,
            longestMs: 14_400_000,
            returnWithinMs: 0,
          },
          slackMs: 300_000,
          examples: false,
          objectives: { click: 0, graded: 1, completion: 0.3, return1d: 0 },
          feedback: {},
          pseudonymKey: 'a key of the bench',
          pseudonymKeyId: 'bench',
        })
        return {
          decode: made.decode,
          stages: (withLabels ? [sessions, labels] : [sessions]) as Stage[],
        }
      },
    },
    partition: 0,
    generation: 1,
    outsideName: topic => topic,
    partitionsOf: () => 1,
    now: () => START,
    wall: () => START,
    table: <T>() => items as unknown as T,
    metrics: noMetrics,
    log: silentLogger,
  })
  return made as Made
}

function cpuUs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const used = process.cpuUsage(before)
  return (used.user + used.system) / count
}

const collect = (globalThis as { gc?: () => void }).gc ?? (() => undefined)
for (let round = 0; round < 3; round++) {
  const decodeOnly = cpuUs(() => {
    for (const one of input) events.decode(one.value)
  })
  const checked = make()
  const decoding = cpuUs(() => {
    for (const one of input) checked.decode('events', one)
  })
  const bare = make()
  const processing = cpuUs(() => {
    for (const one of input) bare.core.process('events', one)
  })
  collect()
  const before = process.memoryUsage().heapUsed
  const whole = make()
  let bytes = 0
  const all = cpuUs(() => {
    for (let n = 0; n < count; n++) {
      whole.core.process('events', input[n])
      if (n % 2000 !== 1999) continue
      whole.core.tick(5)
      bytes += whole.core.commit()?.batch.stamp(1n, 0, 0).length ?? 0
    }
  })
  collect()
  const perUser = (process.memoryUsage().heapUsed - before) / whole.table.size
  console.log(
    `us per event: schemas alone ${decodeOnly.toFixed(2)}, decode ${decoding.toFixed(2)}, + stages ${processing.toFixed(2)}, + commits ${all.toFixed(2)}; changelog ${(bytes / count).toFixed(0)} B an event; ${perUser.toFixed(0)} B a user with ${count / users} events`,
  )
}
