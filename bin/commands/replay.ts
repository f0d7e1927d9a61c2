/** `freshet replay`: old logs through the same topologies, beside the live system. */

import { parseSpeed } from '../../replay/pace/speed.ts'
import { ReplayFolder, type ReplayState } from '../../replay/shadow/folder.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { action, answer, type Call, command, EXIT, notDone, wholeNumber } from '../call.ts'
import { checkedName, liveLagOf, planOfCall } from '../replay/begin.ts'
import { digestOf } from '../replay/digest-of.ts'
import { bytesBelow, isReadable, planOf, putPlan } from '../replay/folder-files.ts'
import { runInForeground } from '../replay/foreground.ts'
import { valuesToRun } from '../replay/kept-options.ts'
import { goesOn, type Look, lookAt } from '../replay/look.ts'
import { planText } from '../replay/plan-text.ts'
import { removeReplay } from '../replay/remove.ts'
import { progressText } from '../replay/replay-bar.ts'
import { bytes, plural, table, time } from '../terminal.ts'
import { replayBackfillCommand } from './replay-backfill.ts'
import { replayCompareCommand } from './replay-compare.ts'
import { replayCutoverCommand, replayRollbackCommand } from './replay-cutover.ts'

const WORKERS = 'processes; one a core is right (default: 1)'
const LIVE_LAG =
  'wait while the live system lags by more records; 0: never (default: what comes in two seconds)'
const SPEED = "max, or how many times as fast as the log's time, e.g. 60x"

export function replayCommand() {
  return command(
    'replay',
    'Old logs through the same topologies, beside the live system: start, status, pause, resume, list, rm, compare, cutover, rollback, backfill',
    'freshet replay start new-formula --source /backup/freshet --from 2026-11-01 --to end',
  )
    .addCommand(start())
    .addCommand(status())
    .addCommand(pause())
    .addCommand(resume())
    .addCommand(list())
    .addCommand(rm())
    .addCommand(replayCompareCommand())
    .addCommand(replayCutoverCommand())
    .addCommand(replayRollbackCommand())
    .addCommand(replayBackfillCommand())
}

function start() {
  return command(
    'start <name>',
    'Shows what will be read and written, then runs the topologies over the log in a shadow, to the end; SIGTERM pauses it',
    'freshet replay start new-formula --source /backup/freshet --from 2026-11-01 --topology sessions,popularity --set popularity.trendHalfLife=6h',
  )
    .option(
      '--from <time|offset>',
      'where events begin: ISO-8601 (of the records), an offset of every partition, or earliest (the default); items and erasures begin at their start',
    )
    .option('--to <time|offset>', 'where it ends, itself not read; end (the default): as of now')
    .option('--source <source>', "kafka (the live topics; the default) or an archive's folder")
    .option('--topology <names>', 'only these topologies, separated by commas')
    .option(
      '--state <state>',
      'what it goes on from: empty (the default), live, or the name of another replay that is done',
    )
    .option('--speed <speed>', `${SPEED} (default: max)`)
    .option('--workers <n>', WORKERS)
    .option('--live-lag <n>', LIVE_LAG)
    .option('--accept-loss', 'go on without records that the source no longer has', false)
    .option('--dry-run', 'show the plan and stop', false)
    .option('--resume', 'go on with it where a replay of this name is there already', false)
    .option('--lockstep', "all tasks keep the same step of the log's time; always so", true)
    .action(action(startReplay))
}

function resume() {
  return command(
    'resume <name>',
    'Goes on after a pause, a kill or a failure, from the last checkpoint; --workers may be another number',
    'freshet replay resume new-formula',
  )
    .option('--speed <speed>', `${SPEED} (default: max)`)
    .option('--workers <n>', WORKERS)
    .option('--live-lag <n>', LIVE_LAG)
    .action(action(resumeReplay))
}

const status = () =>
  command(
    'status <name>',
    'How far a replay is, and the digests of its exact parts as of its last checkpoint',
    'freshet replay status new-formula --json',
  ).action(action(showStatus))

const pause = () =>
  command(
    'pause <name>',
    'Has a replay make a checkpoint and end; waits until it has',
    'freshet replay pause new-formula',
  )
    .option('--wait <seconds>', 'for so long at most (default: 60)')
    .action(action(pauseReplay))

const list = () =>
  command('list', 'All replays below --data', 'freshet replay list').action(action(listReplays))

const rm = () =>
  command(
    'rm <name>',
    'Removes a replay: its keys in Redis, its rows in ClickHouse, topics that a cutover made of it, its folder',
    'freshet replay rm new-formula',
  ).action(action(removeOne))

async function startReplay(call: Call, name: string): Promise<number> {
  const { flags } = call
  const speed = parseSpeed(flags.speed)
  const workers = wholeNumber('workers', flags.workers, 1, 1)
  const liveLag = liveLagOf(call)
  if (flags.resume === true && flags.dryRun !== true && folderOf(call, name).exists)
    return goOn(call, name)
  const { spec, plan, folder, values, reused } = await planOfCall(call, name, systemClock.wall)
  const inUse = folder.exists ? inUseText(name) : undefined
  if (flags.dryRun === true) {
    answer(call, { ...plan, ranges: spec.ranges, inUse: inUse !== undefined }, () =>
      [planText(plan), inUse ?? 'nothing was done (--dry-run)'].join('\n'),
    )
    return inUse === undefined ? EXIT.done : EXIT.wrongCall
  }
  if (inUse !== undefined) throw new FreshetError('CALL_INVALID', inUse)
  process.stderr.write(`${planText(plan)}\n\n`)
  const state = await runInForeground({
    values,
    folder,
    workers,
    speed,
    liveLag,
    async prepare() {
      // someone else may have begun it since
      if (folder.exists) throw new FreshetError('CALL_INVALID', inUseText(name))
      folder.removeLeftovers()
      await putPlan(folder, plan)
      await folder.create(reused === undefined ? spec : await reused.copy(folder, spec))
    },
  })
  return ended(call, folder, state)
}

const inUseText = (name: string): string =>
  `there is a replay ${name} already: ${goesOn(name)}, \`freshet replay rm ${name}\` removes it; or take another name`

async function resumeReplay(call: Call, name: string): Promise<number> {
  return goOn(call, name)
}

/** How long a process that was asked to pause is given to hear that it need not. */
const TURN_MS = 4_000

async function goOn(call: Call, name: string): Promise<number> {
  const folder = folderOf(call, name)
  const spec = folder.spec()
  if (spec.backfill !== null)
    throw new FreshetError(
      'CALL_INVALID',
      `${name} is of a backfill: the same call of \`freshet replay backfill\` goes on with it`,
    )
  const values = valuesToRun(call, spec)
  refuseMissing(name, spec.topologies)
  const { holder } = lookAt(folder)
  if (holder !== undefined) {
    folder.askPause(false)
    const until = systemClock.now() + TURN_MS
    while (lookAt(folder).holder !== undefined && systemClock.now() < until)
      await systemClock.sleep(200)
    const look = lookAt(folder)
    if (look.holder !== undefined) {
      answer(call, machine(look), () => `${name} is running, in process ${look.holder?.pid}`)
      return EXIT.done
    }
  }
  const { flags } = call
  const state = await runInForeground({
    values,
    folder,
    workers: wholeNumber('workers', flags.workers, 1, 1),
    speed: parseSpeed(flags.speed),
    liveLag: liveLagOf(call),
  })
  return ended(call, folder, state)
}

/** Errors: CALL_INVALID for a topology that this program does not have. */
function refuseMissing(name: string, topologies: string): void {
  try {
    parseTopologies(topologies)
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `replay ${name} was started with the topologies ${topologies}, and this program does not have all of them (${messageOf(error)}): go on with the program that it was started with, or remove it and start another`,
      error,
    )
  }
}

async function ended(call: Call, folder: ReplayFolder, state: ReplayState): Promise<number> {
  const look = lookAt(folder)
  const { name } = folder
  answer(call, { ...machine(look), state }, () =>
    state === 'done'
      ? `${name} is done: ${plural(look.records, 'record')}, ${plural(look.deadLetters, 'dead letter')}; \`freshet replay status ${name}\` has its digests, \`freshet replay compare ${name}\` compares it with live`
      : `${name} is paused after ${plural(look.records, 'record')}; ${goesOn(name)}`,
  )
  // kafkajs keeps the timers of its last requests for seconds; all is closed, so nothing is waited for
  setTimeout(() => process.exit(), 200).unref()
  return EXIT.done
}

async function showStatus(call: Call, name: string): Promise<number> {
  const folder = folderOf(call, name)
  const look = lookAt(folder)
  const digest = digestOf(folder, valuesToRun(call, folder.spec()))
  answer(call, { ...machine(look), digest }, () =>
    [
      `${name}: ${look.state}${look.state === 'running' ? ` in process ${look.holder?.pid}` : ''}`,
      progressText(look, false),
      ...(look.error === null ? [] : [`failed: ${look.error}`]),
      ...(look.state === 'done' || look.state === 'running' ? [] : [goesOn(name)]),
      ...(digest === null
        ? ['no checkpoint yet']
        : Object.entries(digest).map(([part, hash]) => `${part}: ${hash ?? 'not computed'}`)),
    ].join('\n'),
  )
  return EXIT.done
}

function machine({ holder, ...look }: Look) {
  return { ...look, process: holder?.pid ?? null }
}

async function pauseReplay(call: Call, name: string): Promise<number> {
  const folder = folderOf(call, name)
  const waitMs = 1000 * wholeNumber('wait', call.flags.wait, 60, 1)
  const until = systemClock.now() + waitMs
  if (lookAt(folder).holder !== undefined) folder.askPause(true)
  let look = lookAt(folder)
  while (look.holder !== undefined && systemClock.now() < until) {
    await systemClock.sleep(200)
    look = lookAt(folder)
  }
  if (look.holder !== undefined)
    return notDone(
      `${name} was asked to pause and has not within ${waitMs / 1000} s (process ${look.holder.pid}${look.held === null ? '' : `, held by ${look.held}`}); it will once what it waits for answers`,
    )
  answer(call, machine(look), () =>
    look.state === 'done' ? `${name} is done already` : `${name} is ${look.state}; ${goesOn(name)}`,
  )
  return EXIT.done
}

async function listReplays(call: Call): Promise<number> {
  const all = ReplayFolder.all(call.values['data.dir'])
  for (const { name, dir } of all.filter(folder => !isReadable(folder)))
    process.stderr.write(
      `${name}: its files in ${dir} were changed by hand; \`freshet replay status ${name}\` says which\n`,
    )
  const replays = all.filter(isReadable).map(folder => {
    const spec = folder.spec()
    const times = planOf(folder)?.topics.find(({ topic }) => topic === 'events')?.partitions ?? []
    const edge = (of: 'firstMs' | 'lastMs', pick: (...all: number[]) => number): string | null => {
      const found = times.map(one => one[of]).filter(ms => ms !== null)
      return found.length === 0 ? null : new Date(pick(...found)).toISOString()
    }
    return {
      ...machine(lookAt(folder)),
      created: new Date(spec.created).toISOString(),
      source: spec.source.kind === 'kafka' ? 'kafka' : spec.source.dir,
      topologies: spec.topologies,
      from: edge('firstMs', Math.min),
      to: edge('lastMs', Math.max),
      bytes: bytesBelow(folder.dir),
    }
  })
  answer(call, replays, () =>
    replays.length === 0
      ? `there are no replays in ${call.values['data.dir']}`
      : table([
          ['replay', 'state', 'records', 'of', 'from', 'to', 'source', 'size', 'created'],
          ...replays.map(one => [
            one.name,
            one.state,
            one.records,
            one.total,
            one.from === null ? '-' : time(Date.parse(one.from)),
            one.to === null ? '-' : time(Date.parse(one.to)),
            one.source,
            bytes(one.bytes),
            time(Date.parse(one.created)),
          ]),
        ]),
  )
  return EXIT.done
}

async function removeOne(call: Call, name: string): Promise<number> {
  const folder = folderOf(call, name)
  const removed = await removeReplay(call.values, folder)
  answer(call, { name, ...removed }, () =>
    [
      removed.folder ? `${name} is removed` : `there is no replay ${name}; what it may have left:`,
      `${plural(removed.keys, 'key')} of Redis, rows of ${plural(removed.tables.length, 'table')}, ${plural(removed.topics.length, 'topic')}`,
    ].join('\n'),
  )
  return EXIT.done
}

/** Errors: CALL_INVALID for what is no name. */
function folderOf({ values }: Call, name: string): ReplayFolder {
  return new ReplayFolder(values['data.dir'], checkedName(name))
}
