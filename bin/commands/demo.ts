import { existsSync, renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { namesOf, openSchemas } from '../compose.ts'
import { Feed } from '../demo/feed.ts'
import { DemoMetrics, DRIFTING, Measures } from '../demo/measures.ts'
import { type Picture, Screen } from '../demo/screen.ts'
import { WatchedViews } from '../demo/watched-views.ts'
import { createLogger } from '../logger.ts'
import { createWorld, type SimulatedEvent } from '../simulator/world.ts'
import { count, durationText, paint } from '../terminal.ts'
import { startWorker } from '../worker.ts'

/** Event time runs this much faster than the clock, so that a minute shows half an hour of one-minute windows. */
const SPEED = 30
const EVENTS_PER_SECOND = 1_000
const USERS = 4_000
const ITEMS = 2_000
/** When the drift begins, as a part of the demo; the reference is frozen long before. */
const DRIFT_AT = 0.55
/** How the command was called, to be repeated. */
const CALL = process.argv[1].endsWith('.js') ? 'bin/freshet.js' : 'freshet'
const BEAT_MS = 500
const GATHER_MS = 1_000

export function demoCommand() {
  return command(
    'demo',
    'Everything in one process on embedded parts, fed by the simulator, for about a minute',
    'freshet demo --minutes 2',
  )
    .option('--minutes <n>', 'how long', '1')
    .option('--seed <n>', 'which world', '7')
    .action(action(demo))
}

async function demo(call: Call): Promise<number> {
  const minutes = Number(call.flags.minutes)
  if (!(minutes >= 0.5 && minutes <= 60))
    throw new FreshetError(
      'CALL_INVALID',
      `--minutes got ${JSON.stringify(call.flags.minutes)}; it takes a number from 0.5 to 60`,
    )
  const totalMs = minutes * 60_000
  const values = demoValues(call)
  const removed = await setAside(values['data.dir'])
  const log = createLogger('error')
  const metrics = new DemoMetrics()
  let watched: WatchedViews | undefined
  const running = await startWorker(
    { values, log, metrics },
    {
      views: views => {
        watched = new WatchedViews(views, Date.now)
        return watched
      },
    },
  )
  try {
    const { views, tables, transport } = running
    if (!views || !tables || !watched)
      throw new FreshetError('BUG', 'the demo runs on all its parts')
    const lists = watched
    const startedAt = Date.now()
    const startTs = Math.floor((startedAt - totalMs * SPEED - 60_000) / 60_000) * 60_000
    const injectedTs = startTs + Math.round((totalMs * SPEED * DRIFT_AT) / 60_000) * 60_000
    const world = createWorld({
      seed: Number(call.flags.seed),
      startTs,
      users: USERS,
      items: ITEMS,
      drift: [`watched_ratio:scale=0.5@${injectedTs - startTs}ms`],
      lists: ({ userId }) => lists.served(userId),
    })
    const titles = new Map<string, string>()
    const { registry, encoder } = await openSchemas({ values, log, metrics })
    const feed = new Feed({
      events: world.events({ ratePerSecond: EVENTS_PER_SECOND / SPEED, warmUpMs: 120_000 }),
      encoder,
      publisher: transport.publisher(),
      names: namesOf(values),
      clock: systemClock,
      startTs,
      speed: SPEED,
      onEvent: event => notice(event, lists, titles),
    })
    const feeding = feed.run()
    const measures = new Measures(views, tables)
    const screen = new Screen()
    const pictureAt = painter(
      startedAt,
      totalMs,
      startTs,
      injectedTs,
      feed,
      measures,
      metrics,
      lists,
      titles,
    )
    let gathering: Promise<void> | undefined
    let gatheredAt = 0
    while (Date.now() - startedAt < totalMs) {
      if (!gathering && Date.now() - gatheredAt > GATHER_MS) {
        gatheredAt = Date.now()
        gathering = measures.gather().finally(() => {
          gathering = undefined
        })
      }
      if (!call.json) screen.draw(pictureAt(Date.now()))
      await systemClock.sleep(BEAT_MS)
    }
    feed.stop()
    await feeding
    await gathering
    await measures.gather()
    registry.close()
    const shown = summary(pictureAt(Date.now()), measures, lists, injectedTs)
    answer(call, shown, () => summaryText(shown, values['data.dir']))
    return Object.values(shown.checks).every(Boolean) ? EXIT.done : EXIT.checkFailed
  } finally {
    await running.close()
    await removed.done
  }
}

/** What an earlier demo left is moved away at once; the promise within settles when it is removed. */
async function setAside(folder: string): Promise<{ done: Promise<void> }> {
  const aside = `${folder}.before`
  await rm(aside, { recursive: true, force: true })
  if (!existsSync(folder)) return { done: Promise.resolve() }
  renameSync(folder, aside)
  return { done: rm(aside, { recursive: true, force: true }) }
}

/** The demo is its own small world: embedded parts in a folder of their own, windows and reference fit for a minute. */
function demoValues(call: Call): Call['values'] {
  return {
    ...call.values,
    'kafka.brokers': '',
    'redis.url': '',
    'clickhouse.url': '',
    'schemaRegistry.url': 'mock://demo',
    'data.dir': join(call.values['data.dir'], 'demo'),
    // one process: more partitions would only be more commits to one disk
    'topics.partitions': 1,
    'drift.reference.windows': 5,
    'drift.reference.warmUp': 180_000,
    'drift.delay': 5_000,
    'clickhouse.flushMs': 500,
  }
}

function notice(event: SimulatedEvent, lists: WatchedViews, titles: Map<string, string>): void {
  if (event.kind === 'Item' && event.record) titles.set(event.key, event.record.title ?? event.key)
  if (event.kind === 'Watch' && event.record.endReason === 'finished')
    lists.noteWatch(event.record.userId, event.record.itemId)
}

function painter(
  startedAt: number,
  totalMs: number,
  startTs: number,
  injectedTs: number,
  feed: Feed,
  measures: Measures,
  metrics: DemoMetrics,
  lists: WatchedViews,
  titles: ReadonlyMap<string, string>,
): (now: number) => Picture {
  let previous = { at: startedAt, sent: 0 }
  let rate = 0
  let before: readonly string[] = []
  let beforeAt = startedAt
  let current: readonly string[] = []
  return now => {
    if (now - previous.at >= BEAT_MS) {
      rate = ((feed.sent - previous.sent) / (now - previous.at)) * 1000
      previous = { at: now, sent: feed.sent }
    }
    if (now - beforeAt > 10_000) {
      before = current
      beforeAt = now
    }
    current = measures.popular
    return {
      elapsedMs: Math.min(totalMs, now - startedAt),
      totalMs,
      eventsPerSecond: rate,
      events: feed.sent,
      sessionMs: [metrics.quantile('session', 0.5), metrics.quantile('session', 0.99)],
      listMs: [metrics.quantile('topk', 0.5), metrics.quantile('topk', 0.99)],
      popular: current,
      popularBefore: before,
      moment: lists.moments.at(-1),
      drift: measures.drift,
      driftInjected: startTs + (now - startedAt) * SPEED >= injectedTs,
      alarm: measures.alerts.some(alert => alert.subject === DRIFTING && alert.since >= injectedTs),
      titleOf: item => titles.get(item) ?? item,
    }
  }
}

function summary(picture: Picture, measures: Measures, lists: WatchedViews, injectedTs: number) {
  const alarm = measures.alerts.find(
    alert => alert.subject === DRIFTING && alert.segment === '' && alert.since >= injectedTs,
  )
  // a ranker that learns from nothing moves its own scores: that alarm is right, and not about the injected drift
  const before = measures.alerts.filter(alert => alert.since < injectedTs)
  const early = before.filter(alert => !alert.subject.startsWith('prediction:'))
  const tooks = lists.moments.map(moment => moment.tookMs).sort((a, b) => a - b)
  return {
    events: picture.events,
    sessionFreshnessMs: { p50: picture.sessionMs[0], p99: picture.sessionMs[1] },
    listFreshnessMs: { p50: picture.listMs[0], p99: picture.listMs[1] },
    listsChanged: lists.moments.length,
    medianListChangeMs: tooks[Math.floor(tooks.length / 2)] ?? null,
    popularOrders: measures.popularSeen.size,
    driftInjectedAt: new Date(injectedTs).toISOString(),
    alarmSince: alarm ? new Date(alarm.since).toISOString() : null,
    alarmsBefore: early,
    predictionAlarmsBefore: before.length - early.length,
    /** One who has a list and a session. */
    user: lists.moments.at(-1)?.user ?? 'u1',
    checks: {
      eventsFlowed: picture.events > 0 && picture.listMs[0] < 1000,
      listsChanged: lists.moments.length > 0,
      popularityMoved: measures.popularSeen.size > 1,
      alarmAfterDrift: alarm !== undefined,
      quietBefore: early.length === 0,
    },
  }
}

function summaryText(shown: ReturnType<typeof summary>, dir: string): string {
  const line = (holds: boolean, text: string): string =>
    `${holds ? paint('green', '✓') : paint('red', '✗')} ${text}`
  const { checks } = shown
  return [
    '',
    paint('bold', 'What was shown'),
    line(
      checks.eventsFlowed,
      `${count(shown.events)} events; event to list p50 ${durationText(shown.listFreshnessMs.p50)}, p99 ${durationText(shown.listFreshnessMs.p99)} (to session p99 ${durationText(shown.sessionFreshnessMs.p99)})`,
    ),
    line(
      checks.listsChanged,
      `${count(shown.listsChanged)} lists changed at the top after their user finished something, half of them within ${durationText(shown.medianListChangeMs ?? Number.NaN)}`,
    ),
    line(
      checks.popularityMoved,
      `popularity moved: ${count(shown.popularOrders)} different top fives`,
    ),
    line(
      checks.alarmAfterDrift,
      shown.alarmSince
        ? `drift was injected at ${shown.driftInjectedAt} (event time); the alarm names windows from ${shown.alarmSince} on`
        : `drift was injected at ${shown.driftInjectedAt} (event time), and no alarm went off`,
    ),
    line(
      checks.quietBefore,
      `${count(shown.alarmsBefore.length)} alarms before it${shown.predictionAlarmsBefore === 0 ? '' : `, but for ${count(shown.predictionAlarmsBefore)} of prediction:ranker, which learns from nothing here, so that its scores do move`}`,
    ),
    '',
    paint('bold', 'What to try next'),
    `  ${CALL} topk ${shown.user} --data ${dir}               a list, from the embedded store`,
    `  ${CALL} inspect session ${shown.user} --data ${dir}    a session`,
    `  ${CALL} explain ${shown.user} --data ${dir}            why this list`,
    '  npm run services                                   Kafka, Redis and a schema registry here, then the walk-through in README.md',
  ].join('\n')
}
