import { action, answer, type Call, command, EXIT, wholeNumber } from '../call.ts'
import { type Sendable, send } from '../send.ts'
import { createWorld, type World } from '../simulator/world.ts'
import { count, Progress } from '../terminal.ts'

/** What the default world of 5,000 users gives with room to rest between visits. */
const RATE = 500
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

export function simulateCommand() {
  return command(
    'simulate',
    'A population with a known truth, as events',
    "freshet simulate --events 100000 --rate 2000 --seed 7 --drift 'watched_ratio@60s'",
  )
    .option('--events <n>', 'how many events', '100000')
    .option(
      '--rate <n>',
      `events a second, sent and in event time; 0: as fast as they are taken, ${RATE} in event time`,
      String(RATE),
    )
    .option('--seed <n>', 'which world', '1')
    .option('--users <n>', 'population; 5000, or ten for each event a second where that is more')
    .option('--items <n>', 'catalog', '2000')
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
  const rate = wholeNumber('rate', flags.rate, RATE)
  const items = wholeNumber('items', flags.items, 2_000, 1)
  const eventRate = rate || RATE
  const world = createWorld({
    seed: wholeNumber('seed', flags.seed, 1),
    // what is sent at once must not lie in the future
    startTs: rate > 0 ? Date.now() : Date.now() - Math.ceil((events / eventRate) * 1000),
    users: wholeNumber('users', flags.users, Math.max(5_000, eventRate * 10), 1),
    items,
    drift: flags.drift as string[],
  })
  const total = events + items
  const to = String(flags.to)
  const records = take(world, eventRate, total)
  const sent = await send(call, to === 'kafka' ? untilSignal(records) : records, to, total, {
    progress: new Progress('simulate'),
    perSecond: rate || undefined,
  })
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

/** Ends in good order at a signal, from the first record on: what was sent until then is a simulation too. */
function* untilSignal(records: Iterable<Sendable>): Generator<Sendable> {
  let stopping = false
  const stop = (): void => {
    stopping = true
  }
  for (const signal of SIGNALS) process.on(signal, stop)
  try {
    for (const record of records) {
      if (stopping) return
      yield record
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop)
  }
}
