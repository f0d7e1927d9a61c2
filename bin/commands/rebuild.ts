import { systemClock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import { type RebuildReport, rebuildViews } from '../../streams/runtime/rebuild-views.ts'
import type { Transport } from '../../streams/transport/port.ts'
import type { ExperimentBook } from '../../topologies/experiments/book.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import {
  openRegistry,
  openSchemas,
  openTransport,
  openViews,
  REACH_MS,
  type Surroundings,
  stateInForce,
} from '../compose.ts'
import { lookAtExperiments } from '../experiments-topic.ts'
import { createLogger } from '../logger.ts'
import { count, durationText, Progress, table } from '../terminal.ts'

export function rebuildCommand() {
  const redis = command(
    'redis',
    'Writes everything in Redis again from the state: sessions, lists, popularity, similar items, blocked. May run beside a live `freshet run`, whose newer writes win',
    'FRESHET_KAFKA_BROKERS=localhost:9092 FRESHET_REDIS_URL=redis://localhost:6379 freshet rebuild redis',
  ).action(action(rebuildRedis))
  return command(
    'rebuild',
    'Fills a store again from the state',
    'freshet rebuild redis',
  ).addCommand(redis)
}

async function rebuildRedis(call: Call): Promise<number> {
  const log = createLogger(call.values['log.level'])
  // what else the stages make is not sent: it need not be made
  const values = {
    ...call.values,
    'session.features': false,
    'slates.share': 0,
    'labels.examples': false,
  }
  const around = { values, log, metrics: noMetrics }
  const views = openViews(around)
  if (views === null)
    throw new FreshetError('CALL_INVALID', 'redis.url is none: there is nothing to rebuild')
  const startedAt = systemClock.now()
  const transport = await openTransport(around, REACH_MS)
  try {
    if ('ping' in views) await views.ping()
    const { generation, names } = await stateInForce(values, transport)
    // the state names no schema
    const { registry, encoder } = await openSchemas({
      ...around,
      values: { ...values, 'schemaRegistry.url': 'mock://rebuild' },
    })
    const experiments = await experimentsOf(around, transport, names)
    const application = createApplication({
      options: values,
      experiments,
      topologies: parseTopologies(values.topologies),
      schemas: registry,
      encoder,
      clock: systemClock,
    })
    const progress = new Progress(`rebuild of ${views.name}`)
    const report = await rebuildViews({
      application,
      transport,
      names,
      generation,
      views,
      clock: systemClock,
      log,
      onProgress: written => progress.update(written),
    })
    registry.close()
    const seconds = (systemClock.now() - startedAt) / 1000
    answer(call, { ...report, seconds }, () => text(report, seconds))
    return EXIT.done
  } finally {
    await views.close()
    await transport.close()
  }
}

/** Lists carry their users' arms, and are drawn by them, as a worker's. Undefined where nobody can tell: Redis is filled all the same. */
async function experimentsOf(
  around: Surroundings,
  transport: Transport,
  names: TopicNames,
): Promise<ExperimentBook | undefined> {
  const { values, log } = around
  const registry = await openRegistry(around)
  try {
    const at = { transport, names, registry, clock: systemClock, log }
    return await lookAtExperiments(at, values)
  } catch (error) {
    log.warn(
      { error: messageOf(error) },
      "the experiments can't be read: lists are drawn as if there were none, and have their arms again with their user's next event",
    )
    return undefined
  } finally {
    registry.close()
  }
}

const meanings: Readonly<Record<string, string>> = {
  session: 'sessions',
  topk: 'lists',
  similar: 'similar items',
  pop: 'popularity sets',
  blocked: 'changes of blocked',
}

function text({ tasks, views, kept }: RebuildReport, seconds: number): string {
  const rows = Object.entries(meanings).map(([name, meaning]) => [meaning, views[name] ?? 0])
  return [
    table([['written', 'views'], ...rows]),
    `from the state of ${tasks} tasks in ${durationText(seconds * 1000)}; ${count(kept)} found something as new or newer, which stays`,
  ].join('\n')
}
