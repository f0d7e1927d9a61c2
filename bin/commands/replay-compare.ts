/** `freshet replay compare`: what differs between a replay and the live system, or another replay, and by how much. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CompareInputs, compareRuns } from '../../replay/compare/compare.ts'
import { page } from '../../replay/compare/page.ts'
import { type CompareReport, holds, parseTolerances } from '../../replay/compare/report.ts'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { pseudonym } from '../../topologies/labels/pseudonym.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { action, answer, type Call, command, EXIT, type Values, wholeNumber } from '../call.ts'
import { openTables, type Surroundings } from '../compose.ts'
import { createLookingLogger } from '../logger.ts'
import { type ComparedRun, liveRun, replayRun } from '../replay/compared-run.ts'
import { Progress } from '../terminal.ts'
import { compareLines } from './compare-answer.ts'
import { prequentialOf } from './compare-prequential.ts'

export function replayCompareCommand() {
  return command(
    'compare <name>',
    'What differs between a replay and the live system, or another replay, and by how much: exact parts, counts, sessions, lists, statistics, quality, features as served. Exit code 3 beyond the tolerances',
    'freshet replay compare new-formula --tolerance rbo=.6 --out report',
  )
    .option('--with <live|name>', 'what it is compared with', 'live')
    .option(
      '--tolerance <name=share>',
      'the least that holds, or NAME=off; may be repeated (docs/replay-compare.md)',
      (given: string, before: string[]) => [...before, given],
      [] as string[],
    )
    .option('--users <n>', 'users whose sessions and lists are compared, sampled by hash', '2000')
    .option(
      '--equal-within <share>',
      "a feature is equal where it differs by no more than this of its larger value, or of the feature's standard deviation",
      '0.05',
    )
    .option(
      '--prequential <plays>',
      'also evaluates both sets of options on so many positive plays of the log, some ms each; 0: not',
      '0',
    )
    .option('--out <dir>', "where the report goes; the replay's folder")
    .action(action(compare))
}

async function compare(call: Call, name: string): Promise<number> {
  const { values, flags } = call
  const asked = askedOf(call, name)
  const around = { values, log: createLookingLogger(values['log.level']), metrics: noMetrics }
  const opened: { close(): Promise<void> }[] = []
  try {
    const [replay, other] = [await open(around, name), await open(around, asked.with)]
    opened.push(replay, other)
    const tables = await openedTables(around)
    if (tables) opened.push(tables)
    const idOf = new Map<string, string>()
    const report = await compareOpened(around, asked, [replay, other], tables, idOf)
    const files = write(report, typeof flags.out === 'string' ? flags.out : replay.dir)
    answer(call, report, () => compareLines(report, idOf, files).join('\n'))
    return holds(report.checks) ? EXIT.done : EXIT.checkFailed
  } finally {
    for (const each of opened) await each.close()
  }
}

interface Asked
  extends Pick<CompareInputs, 'replay' | 'with' | 'tolerances' | 'users' | 'equalWithin'> {
  /** Of the log, for the prequential evaluation. */
  readonly plays: number
}

function askedOf({ values, flags }: Call, name: string): Asked {
  const other = String(flags.with)
  if (other === name)
    throw new FreshetError(
      'CALL_INVALID',
      `--with got ${JSON.stringify(other)}, which is the replay itself; it takes live or the name of another replay`,
    )
  for (const each of other === 'live' ? [name] : [name, other])
    comparable(new ReplayFolder(values['data.dir'], each))
  return {
    replay: name,
    with: other,
    tolerances: parseTolerances(flags.tolerance as string[]),
    users: wholeNumber('users', flags.users, 2000, 1),
    equalWithin: equalWithin(flags.equalWithin),
    plays: wholeNumber('prequential', flags.prequential, 0),
  }
}

/** Errors: CALL_INVALID where there is no such replay, or nothing of its own to compare. */
function comparable(folder: ReplayFolder): void {
  if (folder.spec().backfill)
    throw new FreshetError(
      'CALL_INVALID',
      `replay ${folder.name} is a backfill: its rows take the place of live ones, and it has no views`,
    )
  if (folder.checkpoint() === undefined)
    throw new FreshetError(
      'CALL_INVALID',
      `replay ${folder.name} has not come to its first checkpoint yet; \`freshet replay status ${folder.name}\` says how far it is`,
    )
}

function equalWithin(given: unknown): number {
  const value = Number(given)
  if (given !== '' && value >= 0 && value < 1) return value
  throw new FreshetError(
    'CALL_INVALID',
    `--equal-within got ${JSON.stringify(given)}; it takes a share from 0 to below 1, such as 0.05`,
  )
}

function open(around: Surroundings, name: string): Promise<ComparedRun> {
  if (name === 'live') return liveRun(around)
  return replayRun(around, new ReplayFolder(around.values['data.dir'], name))
}

async function compareOpened(
  around: Surroundings,
  asked: Asked,
  [replay, other]: readonly [ComparedRun, ComparedRun],
  tables: CompareInputs['tables'],
  idOf: Map<string, string>,
): Promise<CompareReport> {
  const { values } = around
  const progress = new Progress('compare')
  const prequential =
    asked.plays > 0 && replay.spec
      ? await prequentialOf(
          around,
          replay.spec,
          { replay: replay.values, with: other.values },
          asked.plays,
          (done, total) => progress.update(done, total),
        )
      : null
  return compareRuns({
    ...asked,
    at: systemClock.wall(),
    options: differing(replay.values, other.values),
    state: { replay: replay.spec?.state ?? '', with: other.spec?.state ?? '' },
    positions: [replay.positions, other.positions],
    digests: [replay.digests, other.digests],
    underWay: replay.underWay ?? other.underWay,
    views: replay.views && other.views && [replay.views, other.views],
    tables,
    prequential,
    nameOf(userId) {
      const stands = pseudonym(userId, values['privacy.pseudonymKey'])
      idOf.set(stands, userId)
      return stands
    },
    notes: [
      ...replay.notes,
      ...other.notes,
      ...(asked.plays > 0 && prequential === null
        ? ['the log of the replay has no positive play: nothing could be predicted']
        : []),
    ],
    onProgress: (_, done) => progress.update(done),
  })
}

/** What each run writes into its own place under. */
const own = new Set(['redis.prefix', 'session.features', 'served.recompute'])

function differing(replay: Values, other: Values): CompareReport['options'] {
  const names = Object.keys(replay) as (keyof Values)[]
  const text = (values: Values, name: keyof Values): string =>
    name === 'topologies' ? topologiesOf(values) : textOf(values[name])
  return Object.fromEntries(
    names
      .map(name => [name, { replay: text(replay, name), with: text(other, name) }] as const)
      .filter(([name, of]) => !own.has(name) && of.replay !== of.with),
  )
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value)

const topologiesOf = ({ topologies }: Values): string =>
  [...parseTopologies(topologies)].sort().join(',')

/** null where tables are left out or were never made. */
async function openedTables(
  around: Surroundings,
): Promise<(NonNullable<CompareInputs['tables']> & { close(): Promise<void> }) | null> {
  const database = around.values['clickhouse.database']
  const tables = await openTables(around)
  if (tables === null) return null
  try {
    await tables.query(`SELECT run FROM ${database}.v_drift_runs LIMIT 1`)
  } catch (error) {
    await tables.close()
    if (/UNKNOWN_(TABLE|DATABASE)|Code: (60|81)\b/.test(messageOf(error))) return null
    throw error
  }
  return { database, query: sql => tables.query(sql), close: () => tables.close() }
}

/** Both forms, in `dir`. Errors: CALL_INVALID where nothing can be written there. */
function write(report: CompareReport, dir: string): string[] {
  const files = ['json', 'html'].map(ending => join(dir, `compare-${report.with}.${ending}`))
  try {
    mkdirSync(dir, { recursive: true })
    writeFileSync(files[0], `${JSON.stringify(report, null, 2)}\n`)
    writeFileSync(files[1], page(report))
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `--out got ${dir}, where nothing can be written (${messageOf(error)})`,
      error,
    )
  }
  return files
}
