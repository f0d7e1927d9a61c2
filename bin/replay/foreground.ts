/** A replay in the foreground: its lock, what sets its pace, its bar, and how signals and `pause` end it. */
import { setPriority } from 'node:os'
import { takeLock } from '../../replay/archive/lock.ts'
import { LiveLag } from '../../replay/pace/live-lag.ts'
import type { Pacer } from '../../replay/pace/pacer.ts'
import { allPacers, speedPacer } from '../../replay/pace/speed.ts'
import type { ReplayFolder, ReplayState, ReplayStatus } from '../../replay/shadow/folder.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { EXIT, type Values } from '../call.ts'
import { isEmbedded, namesOf, openTransport, REACH_MS, type Surroundings } from '../compose.ts'
import { createLogger } from '../logger.ts'
import { addRun } from './folder-files.ts'
import { goesOn, lookAt } from './look.ts'
import { ReplayBar } from './replay-bar.ts'
import { runReplay } from './run.ts'

export interface Foreground {
  readonly values: Values
  readonly folder: ReplayFolder
  readonly workers: number
  /** Times the log's time; undefined: as fast as it goes. */
  readonly speed: number | undefined
  /** Records; 0: no throttle; undefined: by the live rate. */
  readonly liveLag: number | undefined
  /** Does what must be done before it runs, under the lock. */
  readonly prepare?: () => Promise<void>
}

/** A live worker's process goes before a replay's on a machine that both are on. */
const NICE = 10
const LOOK_MS = 500
/** A status older than that is written by whoever waits. */
const STALE_MS = 1_500

/**
 * To its end, or until it is paused. Errors: CALL_INVALID where another process runs it; what it failed of, upon which it goes
 * on from its last checkpoint when called again.
 */
export async function runInForeground(asked: Foreground): Promise<ReplayState> {
  const { folder } = asked
  const stop = new AbortController()
  const unheard = stopOnSignals(stop)
  const release = takeLock(folder.dir, 'replay', 'the replay')
  let isOurs = false
  try {
    await asked.prepare?.()
    isOurs = asked.prepare !== undefined
    return await running(asked, stop)
  } catch (error) {
    // a call that was wrong leaves nothing, nor one that failed before there was anything to go on with
    if (!folder.exists || (isOurs && isWrongCall(error) && !folder.checkpoint())) folder.remove()
    throw error
  } finally {
    release()
    unheard()
  }
}

const isWrongCall = (error: unknown): boolean =>
  error instanceof FreshetError && ['CALL_INVALID', 'OPTION_INVALID'].includes(error.code)

async function running(asked: Foreground, stop: AbortController): Promise<ReplayState> {
  const { folder, values, workers, speed } = asked
  const around: Surroundings = {
    values,
    log: createLogger(values['log.level'] === 'info' ? 'warn' : values['log.level']),
    metrics: noMetrics,
  }
  folder.askPause(false)
  if (folder.checkpoint()?.done) return 'done'
  await begins(folder)
  const pacers: Pacer[] = []
  const lag = await liveLag(asked, around)
  if (lag) pacers.push(lag.pacer)
  if (speed !== undefined) pacers.push(speedPacer(speed))
  const pacer = allPacers(pacers)
  const bar = new ReplayBar(folder.name)
  const begun = systemClock.now()
  const before = folder.checkpoint()?.counts.records ?? 0
  let last: ReplayStatus | undefined
  let waiting = (): string | undefined => undefined
  const looking = setInterval(() => {
    if (folder.pauseAsked) stop.abort()
    // whoever is held writes no status of its own
    const held = pacer.held() ?? waiting() ?? null
    if (last && held !== null && systemClock.wall() - last.at > STALE_MS) {
      last = { ...last, at: systemClock.wall(), held }
      void folder.putStatus(last).catch(() => undefined)
      bar.show(last)
    }
  }, LOOK_MS)
  try {
    const state = await runReplay(around, folder, {
      workers,
      pacer,
      onStatus: status => {
        last = status
        bar.show(status)
      },
      onOpen: told => {
        waiting = told
      },
      signal: stop.signal,
    })
    const records = (folder.checkpoint()?.counts.records ?? 0) - before
    await addRun(folder, { workers, records, ms: systemClock.now() - begun })
    return state
  } catch (error) {
    if (!isWrongCall(error)) await failed(folder, error)
    throw error
  } finally {
    clearInterval(looking)
    bar.end()
    await lag?.close()
  }
}

/** Who looks on sees that it runs, before it has restored its state. */
async function begins(folder: ReplayFolder): Promise<void> {
  const { name: _, holder: __, ...look } = lookAt(folder)
  await folder.putStatus({
    ...look,
    state: 'running',
    at: systemClock.wall(),
    pid: process.pid,
    rate: 0,
    held: null,
    error: null,
  })
}

async function failed(folder: ReplayFolder, error: unknown): Promise<void> {
  const status = folder.status()
  if (status?.state !== 'failed')
    // a disk that is full takes no status either
    await folder
      .putStatus({ ...(status as ReplayStatus), state: 'failed', error: messageOf(error) })
      .catch(() => undefined)
  const records = folder.checkpoint()?.counts.records ?? 0
  process.stderr.write(
    `replay ${folder.name} ended after ${records.toLocaleString('en-US')} records; once what stands below is mended, ${goesOn(folder.name)} from its last checkpoint\n`,
  )
}

/** undefined where there is no live system that could lag, or the throttle is off. */
async function liveLag(
  { values, folder, liveLag: bound }: Foreground,
  around: Surroundings,
): Promise<{ pacer: Pacer; close(): Promise<void> } | undefined> {
  if (isEmbedded(values) || bound === 0) return undefined
  const spec = folder.spec()
  let transport: Transport
  try {
    transport = await openTransport(around, REACH_MS, true)
  } catch (error) {
    // an archive can be replayed while the brokers are away
    if (spec.source.kind === 'kafka' || !(error instanceof FreshetError)) throw error
    return undefined
  }
  const names = namesOf(values)
  const described = await transport.topics.describe(Object.keys(spec.ranges).map(names.outside))
  const lag = new LiveLag({
    transport,
    groupId: values['application.id'],
    inputs: [...described].flatMap(([topic, { partitions }]) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
    ),
    bound,
    clock: systemClock,
    log: around.log,
    onLive: () => {
      try {
        setPriority(NICE)
      } catch (error) {
        // a machine that forbids it lets the scheduler decide
        around.log.info({ error: messageOf(error) }, 'the priority stays as it is')
      }
    },
  })
  // processes that are started later inherit the priority
  await lag.looked
  return {
    pacer: lag,
    async close() {
      await lag.close()
      await transport.close()
    },
  }
}

/** The first signal: a checkpoint, then it is paused; the second ends at once. Gives what stops listening. */
function stopOnSignals(stop: AbortController): () => void {
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(EXIT.failed)
    stop.abort()
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
  return () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, onSignal)
  }
}
