import { FreshetError } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import { action, type Call, command, EXIT, wholeNumber } from '../call.ts'
import { isEmbedded, unsharedStores } from '../compose.ts'
import { type HealthServer, serveHealth } from '../http.ts'
import { LiveWorker } from '../live-worker.ts'
import { createLogger } from '../logger.ts'
import { PrometheusMetrics } from '../metrics.ts'
import { endSupervised, onSupervisorGone } from '../supervised.ts'
import { supervise } from '../supervisor.ts'
import { openWorkerParts } from '../worker.ts'

export function runCommand() {
  return command(
    'run',
    'Runs the processors against Kafka, Redis and ClickHouse; on embedded parts where none are named',
    'FRESHET_KAFKA_BROKERS=localhost:9092 FRESHET_REDIS_URL=redis://localhost:6379 freshet run --workers 2',
  )
    .option('--topology <names>', 'only these topologies, separated by commas')
    .option('--workers <n>', 'processes; one a core is right')
    .action(action(run))
}

async function run(given: Call): Promise<number> {
  const topology = given.flags.topology
  const call =
    typeof topology === 'string'
      ? { ...given, values: { ...given.values, topologies: topology } }
      : given
  const workers = wholeNumber('workers', call.flags.workers, 1, 1)
  const log = createLogger(call.values['log.level'])
  if (workers > 1) {
    refuseEmbedded(call)
    refusePorts(call.values['http.port'], workers)
    return supervise(workers, index => childArguments(call, index), log)
  }
  try {
    return await work(call, log)
  } catch (error) {
    return await endSupervised(error)
  }
}

async function work(call: Call, log: Logger): Promise<number> {
  const metrics = new PrometheusMetrics().withProcess()
  // heard from here on: one that comes while the worker still starts must leave the group in order too
  const signalled = stopSignal(log)
  const around = { values: call.values, log, metrics }
  const parts = await openWorkerParts(around)
  for (const note of parts.notes) log.info({}, note)
  const live = new LiveWorker(around, parts)
  let health: HealthServer | undefined
  try {
    await live.start()
    health = await serveHealth(call.values['http.port'], live, metrics, parts.webhook)
    log.info(
      { port: health.port, pid: process.pid },
      'running; /healthz, /readyz and /metrics are served',
    )
    void signalled.then(() => live.stop())
    await live.run()
    return EXIT.done
  } finally {
    // also where it ended by itself: Kafka may be away
    endInTime(log)
    await live.end()
    await parts.close()
    await health?.close()
    log.info({}, 'stopped')
    // kafkajs keeps the timers of its last requests for seconds; all is closed, so nothing is waited for
    setTimeout(() => process.exit(), 200).unref()
  }
}

/** A drain that takes longer waits for a dependency that is gone; what is not committed is done again by the next owner. */
const DRAIN_MS = 25_000

function endInTime(log: Logger): void {
  setTimeout(() => {
    log.error({}, `not drained within ${DRAIN_MS / 1000} s: ended without a last commit`)
    process.exit(EXIT.failed)
  }, DRAIN_MS).unref()
}

/** Resolves with the first signal, upon which the worker drains and commits; the second ends at once. */
function stopSignal(log: Logger): Promise<void> {
  return new Promise(resolve => {
    let stopping = false
    const onSignal = (): void => {
      if (stopping) process.exit(1)
      stopping = true
      endInTime(log)
      resolve()
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
    onSupervisorGone(() => {
      log.warn({}, 'the supervisor is gone: stopping')
      if (!stopping) onSignal()
    })
  })
}

function refuseEmbedded({ values }: Call): void {
  const embedded = [...(isEmbedded(values) ? ['kafka.brokers'] : []), ...unsharedStores(values)]
  if (embedded.length > 0)
    throw new FreshetError(
      'CALL_INVALID',
      `--workers above 1 needs servers that processes can share: set ${embedded.join(', ')} (embedded parts serve one process; redis.url=none and clickhouse.url=none leave theirs out)`,
    )
}

function refusePorts(first: number, workers: number): void {
  if (first === 0 || first + workers - 1 <= 65_535) return
  throw new FreshetError(
    'OPTION_INVALID',
    `option http.port got ${first}, and the last of ${workers} workers would listen on ${first + workers - 1}; take a lower one, or 0 for any`,
  )
}

/** The same call for one child. Each has a port of its own: the given one, the next, ... */
function childArguments(call: Call, worker: number): string[] {
  const args: string[] = []
  // what came from variables reaches the child by itself, passwords too
  for (const { name, value, from } of call.resolved)
    if (from !== 'default' && !from.startsWith('FRESHET_') && name !== 'http.port')
      args.push('--set', `${name}=${value}`)
  if (call.values.topologies !== 'all') args.push('--topology', call.values.topologies)
  const first = call.values['http.port']
  const port = first === 0 ? 0 : first + worker
  return [...process.execArgv, process.argv[1], 'run', ...args, '--http.port', String(port)]
}
