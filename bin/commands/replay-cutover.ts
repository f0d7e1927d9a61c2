/** `freshet replay cutover` and `freshet replay rollback`: another state takes the live one's place. */
import { takeLock } from '../../replay/archive/lock.ts'
import { type CutoverReport, cutOver, onward } from '../../replay/cutover/cutover.ts'
import { copyMissingRows } from '../../replay/cutover/missing-rows.ts'
import { type RollbackReport, rollBack } from '../../replay/cutover/rollback.ts'
import { unpaced } from '../../replay/pace/pacer.ts'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { connect } from '../../sinks/clickhouse/connect.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { duration, durationTakes } from '../../streams/option-types.ts'
import type { Positions } from '../../streams/runtime/journal-records.ts'
import { countPartitions } from '../../streams/runtime/topics.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { action, answer, type Call, command, EXIT, wholeNumber } from '../call.ts'
import { isEmbedded, journalOf, namesOf, openTransport, REACH_MS, tablesUrl } from '../compose.ts'
import { nameOnly } from '../doctor/examine.ts'
import { createLogger } from '../logger.ts'
import { checkedName } from '../replay/begin.ts'
import { keptOptions, shapesState, valuesToRun } from '../replay/kept-options.ts'
import { runReplay } from '../replay/run.ts'
import { count, durationText } from '../terminal.ts'

const HOLD = '60s'

export function replayCutoverCommand() {
  return command(
    'cutover <name>',
    "Puts a replay's state in the live one's place: catches it up, brings it to Kafka, holds the workers for seconds and has them go on from it; `freshet replay rollback` goes back",
    'freshet replay cutover new-formula',
  )
    .option('--workers <n>', 'processes that catch the replay up (default: 1)')
    .option('--hold <span>', `for so long workers wait at most (default: ${HOLD})`)
    .action(action(cutover))
}

export function replayRollbackCommand() {
  return command(
    'rollback',
    'Goes back to the state that was live before the last cutover; it takes in what came since',
    'freshet replay rollback',
  )
    .option('--hold <span>', `for so long workers wait at most (default: ${HOLD})`)
    .action(action(rollback))
}

async function cutover(call: Call, name: string): Promise<number> {
  const folder = new ReplayFolder(call.values['data.dir'], checkedName(name))
  const spec = folder.spec()
  refuseOtherOptions(call, spec)
  const workers = wholeNumber('workers', call.flags.workers, 1, 1)
  const holdMs = holdOf(call)
  const stop = stopSignal()
  const release = takeLock(folder.dir, 'cutover', 'the replay')
  const opened = await openLive(call, spec.topologies).catch(error => {
    release()
    throw error
  })
  try {
    const around = { values: valuesToRun(call, spec), log: opened.log, metrics: noMetrics }
    const report = await cutOver({
      ...opened,
      folder,
      holdMs,
      onStage: say(call, name),
      copyRows: rowsCopier(call, name),
      catchUp: async (to: Positions) => {
        const further = onward(folder.spec(), to)
        if (further) await folder.extend(further, { kind: 'kafka' })
        const state = await runReplay(around, folder, {
          workers,
          pacer: unpaced,
          onStatus: () => undefined,
          signal: stop,
        })
        if (state !== 'done')
          throw new FreshetError(
            'CLOSED',
            `stopped: nothing was changed; \`freshet replay cutover ${name}\` begins anew`,
          )
      },
    })
    answer(call, { replay: name, ...report }, () => cutoverText(name, report))
    return exitOf(report)
  } finally {
    release()
    await opened.transport.close()
  }
}

function rowsCopier({ values }: Call, name: string) {
  const url = tablesUrl(values)
  // embedded, it is the process' that runs: the replay has written nowhere else either
  if (url === undefined || url.startsWith('chdb:')) return undefined
  return async () => {
    const sql = await connect(url)
    try {
      return await copyMissingRows(sql, values['clickhouse.database'], name)
    } finally {
      await sql.close()
    }
  }
}

async function rollback(call: Call): Promise<number> {
  const holdMs = holdOf(call)
  const opened = await openLive(call, call.values.topologies)
  try {
    const report = await rollBack({
      ...opened,
      holdMs,
      onStage: say(call, 'rollback'),
    })
    answer(call, report, () => rollbackText(report))
    return exitOf(report)
  } finally {
    await opened.transport.close()
  }
}

async function openLive({ values }: Call, topologies: string) {
  if (isEmbedded(values))
    throw new FreshetError(
      'CALL_INVALID',
      'the embedded log serves one process: there are no workers that another state could be given to; set kafka.brokers',
    )
  const log = createLogger(values['log.level'] === 'info' ? 'warn' : values['log.level'])
  const transport: Transport = await openTransport({ values, log, metrics: noMetrics }, REACH_MS)
  try {
    const application: Application = await nameOnly({ ...values, topologies })
    return {
      transport,
      log,
      application,
      counts: await countPartitions(application, namesOf(values), transport.topics),
      generations: journalOf(values, transport),
      applicationId: values['application.id'],
      prefix: values['topics.prefix'],
      writerDeadlineMs: values['kafka.writerDeadline'],
      clock: systemClock,
    }
  } catch (error) {
    await transport.close()
    throw error
  }
}

/** Workers go on from rows that came to be with the replay's options: theirs, as this call has them, must be the same. */
function refuseOtherOptions(call: Call, { name, set, topologies }: ReplaySpec): void {
  const own = keptOptions(call)
  for (const option of new Set([...Object.keys(own), ...Object.keys(set)])) {
    if (!shapesState(option) || own[option] === set[option]) continue
    const text = (value: string | undefined): string => value ?? 'the default'
    throw new FreshetError(
      'CALL_INVALID',
      `option ${option}: ${name} was made with ${text(set[option])}, the live workers have ${text(own[option])} by this call: give the workers what the replay has (they take it with their next start, or begin with \`freshet run --set ${option}=...\`), and this call the same`,
    )
  }
  const theirs = [...parseTopologies(topologies)].sort().join(',')
  const lives = [...parseTopologies(call.values.topologies)].sort().join(',')
  if (theirs !== lives)
    throw new FreshetError(
      'CALL_INVALID',
      `the topologies of ${name} are ${theirs}, the live workers' by this call ${lives}: begin a replay with the same, or name the live ones with --set topologies=...`,
    )
}

function holdOf({ flags }: Call): number {
  const { hold = HOLD } = flags
  const parsed = duration().safeParse(hold)
  if (parsed.success && parsed.data >= 5_000) return parsed.data
  throw new FreshetError(
    'CALL_INVALID',
    `--hold got ${JSON.stringify(hold)}; it takes ${durationTakes}, at least 5s`,
  )
}

/** The first signal ends it before the next catch-up; the second at once, and the hold is over by itself. */
function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(EXIT.failed)
      stop.abort()
    })
  return stop.signal
}

const say =
  ({ json }: Call, what: string) =>
  (stage: string) => {
    if (!json) process.stderr.write(`${what}: ${stage}\n`)
  }

/** Workers that were there and did not come back are to be looked after, and so is what was not copied. */
const exitOf = ({
  hadWorkers,
  backMs,
  copied,
}: Pick<CutoverReport, 'hadWorkers' | 'backMs'> &
  Partial<Pick<CutoverReport, 'copied'>>): number =>
  (hadWorkers && backMs === null) || copied === null ? EXIT.checkFailed : EXIT.done

function cutoverText(name: string, report: CutoverReport): string {
  if (!report.changed) return `${name} is live already (generation ${report.generation})`
  const copied = Object.values(report.copied ?? {}).reduce((sum, n) => sum + n, 0)
  return `${name} is live: generation ${report.generation}, ${count(report.rows)} rows; ${backText(report)}${copied > 0 ? `; ${count(copied)} rows of tables that live lacked are copied` : ''}. \`freshet replay rollback\` goes back`
}

function rollbackText(report: RollbackReport): string {
  const { generation, changed, behind, state } = report
  const place = `the state of ${state.prefix}g${state.generation}`
  if (!changed) return `${place} is live again already (generation ${generation})`
  return `${place} is live again: generation ${generation}; it takes in ${count(behind)} records that came since; ${backText(report)}`
}

function backText({ heldMs, hadWorkers, backMs }: RollbackReport | CutoverReport): string {
  const held = `workers were held for ${durationText(heldMs)}`
  if (!hadWorkers) return 'no workers ran; `freshet run` begins on it'
  return backMs === null
    ? `${held} and NONE HAS COME BACK yet: look at their logs`
    : `${held}, back after ${durationText(backMs)}`
}
