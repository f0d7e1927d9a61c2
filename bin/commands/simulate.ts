import { noMetrics } from '../../streams/metrics.ts'
import { action, answer, type Call, command, EXIT, wholeNumber } from '../call.ts'
import { isEmbedded, namesOf, openSchemas, openTransport, REACH_MS } from '../compose.ts'
import { createLogger } from '../logger.ts'
import { type Sendable, sendToFile, sendToTopics } from '../send.ts'
import { createWorld, type World } from '../simulator/world.ts'
import { count, Progress } from '../terminal.ts'
import { outsideTopicSpecs } from '../topics.ts'

export function simulateCommand() {
  return command(
    'simulate',
    'A population with a known truth, as events',
    "freshet simulate --events 100000 --rate 2000 --seed 7 --drift 'watched_ratio@60s'",
  )
    .option('--events <n>', 'how many events', '100000')
    .option(
      '--rate <n>',
      'events a second, sent and in event time; 0: as fast as they are taken',
      '1000',
    )
    .option('--seed <n>', 'which world', '1')
    .option('--users <n>', 'population', '20000')
    .option('--items <n>', 'catalog', '5000')
    .option(
      '--drift <drift>',
      'SUBJECT[:KIND[=AMOUNT]]@TIME, may be repeated',
      (given: string, before: string[]) => [...before, given],
      [] as string[],
    )
    .option('--to <target>', 'kafka, or a file of JSON lines', 'kafka')
    .action(action(simulate))
}

async function simulate(call: Call): Promise<number> {
  const { flags } = call
  const events = wholeNumber('events', flags.events, 100_000, 1)
  const rate = wholeNumber('rate', flags.rate, 1_000)
  const items = wholeNumber('items', flags.items, 5_000, 1)
  const eventRate = rate || 1_000
  const world = createWorld({
    seed: wholeNumber('seed', flags.seed, 1),
    // what is sent at once must not lie in the future
    startTs: rate > 0 ? Date.now() : Date.now() - Math.ceil((events / eventRate) * 1000),
    users: wholeNumber('users', flags.users, 20_000, 1),
    items,
    drift: flags.drift as string[],
  })
  const total = events + items
  const sent = await send(call, take(world, eventRate, total), rate, total)
  answer(call, { sent, drifts: world.drifts }, () => `${count(sent)} records sent`)
  return EXIT.done
}

function* take(world: World, ratePerSecond: number, total: number): Generator<Sendable> {
  let taken = 0
  for (const event of world.events({ ratePerSecond, warmUpMs: 120_000 })) {
    if (event.record !== null) yield event as Sendable
    if (++taken >= total) return
  }
}

async function send(
  call: Call,
  records: Iterable<Sendable>,
  rate: number,
  total: number,
): Promise<number> {
  const progress = new Progress('simulate')
  const to = String(call.flags.to)
  if (to !== 'kafka') return sendToFile(records, to, progress, total)
  const around = {
    values: call.values,
    log: createLogger(call.values['log.level']),
    metrics: noMetrics,
  }
  const transport = await openTransport(around, REACH_MS)
  const { registry, encoder } = await openSchemas(around)
  const names = namesOf(call.values)
  const publisher = transport.publisher()
  let stopping = false
  const stop = (): void => {
    stopping = true
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  try {
    if (isEmbedded(call.values))
      await transport.topics.create(outsideTopicSpecs(names, call.values['topics.partitions']))
    return await sendToTopics(
      records,
      { publisher, encoder, names },
      { progress, total, perSecond: rate || undefined, stopped: () => stopping },
    )
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
    await publisher.close()
    registry.close()
    await transport.close()
  }
}
