/**
 * Puts a replay's state in the place of the live one: the workers go on from it.
 *
 *  - O1 The live state stands still while the last records are caught up: workers are held and their owners fenced.
 *  - O2 The replay's state has taken in at least what the live one had, and what was shown before a rollback to that one,
 *       before anything of it is shown: no list goes back.
 *  - O3 Each record is taken in once by the state in force: it stands at offsets, and goes on there. The replay is caught up
 *       to where the live state stands and no further: what leaves for a record is left to the live workers of one side.
 *  - O4 One record in the journal makes the change. Before it everything is as it was, whenever this ends; what was uploaded
 *       by then is removed by the next attempt.
 *  - O5 The state that was left is kept as it was, for one rollback; the one before that goes.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { inForce } from '../../streams/runtime/generations.ts'
import type { Generation, Journal, Positions } from '../../streams/runtime/journal-records.ts'
import { replayPrefix, type StateAt, topicNames } from '../../streams/runtime/names.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { Range } from '../archive/ranges.ts'
import type { ReplayFolder } from '../shadow/folder.ts'
import type { ReplaySpec } from '../shadow/spec.ts'
import { HeldLive, type LiveSettings, positionsOf } from './live.ts'
import { removeStates } from './states.ts'
import { Upload } from './upload.ts'

/** Caught up again and again until no more came meanwhile: the rest is done while workers are held. */
const LITTLE_RECORDS = 2_000
const MOST_ROUNDS = 8
const BACK_MS = 60_000
/** A file in the replay's folder while a cutover of it is under way, or ended before its time. */
const BEGUN = 'cutover'

export interface CutoverSettings extends Omit<LiveSettings, 'kinds'> {
  /** topics.prefix */
  readonly prefix: string
  /** Of the live workers, as far as the call knows. */
  readonly application: Application
  readonly folder: ReplayFolder
  /** How long workers wait at most, ms. */
  readonly holdMs: number
  /** Runs the replay on to these ends of the live topics (`onward`), at least; nothing where it has come to them. */
  readonly catchUp: (to: Positions) => Promise<void>
  /** Copies rows of tables that live lacks (`missing-rows.ts`); absent where there are no tables. */
  readonly copyRows?: () => Promise<Readonly<Record<string, number>>>
}

export interface CutoverReport {
  readonly generation: number
  /** Where the state in force stands. */
  readonly state: StateAt
  /** false: it was in force already. */
  readonly changed: boolean
  /** Rows that were uploaded. */
  readonly rows: number
  /** Rows of tables that live lacked, by table; null where they could not be copied. */
  readonly copied: Readonly<Record<string, number>> | null
  /** Since the hold, ms: workers were gone; the last records were caught up; they were uploaded. */
  readonly stages: Readonly<Record<'gone' | 'caughtUp' | 'uploaded', number>> | null
  /** From the hold to the change, ms. */
  readonly heldMs: number
  /** Workers were there before. */
  readonly hadWorkers: boolean
  /** From the hold until a worker had joined again, ms; null: none was there, or came in time. */
  readonly backMs: number | null
}

/** Errors: see `Upload`, `HeldLive`; APPLICATION_OTHER; POSITION_LOST; CALL_INVALID for a replay that can't take live's place. */
export async function cutOver(settings: CutoverSettings): Promise<CutoverReport> {
  const { generations, folder, prefix, transport, application, clock } = settings
  const spec = folder.spec()
  const state = { prefix: replayPrefix(prefix, folder.name), generation: spec.generation }
  const journal = await generations.read()
  const from = needLive(settings, journal)
  if (from.state.prefix === state.prefix)
    return {
      generation: from.generation,
      state: from.state,
      changed: false,
      rows: 0,
      copied: await copiedBy(settings),
      stages: null,
      heldMs: 0,
      hadWorkers: false,
      backMs: null,
    }
  await needFit(settings, journal)
  const begun = join(folder.dir, BEGUN)
  writeFileSync(begun, '')
  const upload = new Upload({ ...settings, names: topicNames(prefix, state) })
  const { names } = inForce(topicNames(prefix, 1), journal)
  const kinds = application.kinds
  // readers have what a state that was left had shown, also while one that was gone back to takes it in
  const shown = (positions: Positions): Positions => furthest(positions, from.shownFrom ?? {})
  await upToNearTheEnd(settings, upload, async () =>
    shown(await positionsOf({ ...settings, kinds }, names)),
  )
  const live = new HeldLive({ ...settings, kinds }, from, names)
  try {
    const by = `cutover of ${folder.name}`
    const heldAt = clock.now()
    await live.take(by, settings.holdMs)
    const gone = clock.now() - heldAt
    settings.onStage('last records are caught up')
    const lives = shown(await live.positions())
    await settings.catchUp(lives)
    const ended = endsOf(folder)
    if (between(ended, lives) > 0)
      throw new FreshetError(
        'BUG',
        `${folder.name} was not caught up to where the live state stood`,
      )
    const caughtUp = clock.now() - heldAt
    await upload.rows()
    await upload.finish((topic, partition) => ended[topic]?.[partition] ?? 0)
    const uploaded = clock.now() - heldAt
    const { generation, heldMs } = await live.raise({ by, state, born: upload.taskNames })
    rmSync(begun, { force: true })
    settings.onStage('workers come back')
    const backMs = await live.back(BACK_MS)
    const kept = [state, from.state]
    await removeStates(transport, topicNames(prefix, 1), await generations.read(), kept)
    return {
      generation: generation.generation,
      state,
      changed: true,
      rows: upload.rowsSent,
      copied: await copiedBy(settings),
      stages: { gone, caughtUp, uploaded },
      heldMs,
      hadWorkers: live.hadWorkers,
      backMs,
    }
  } finally {
    await live.release()
  }
}

/** The change is made by then: what keeps it from being done is told, and it is done with the next call. */
async function copiedBy({ copyRows, onStage }: CutoverSettings): Promise<CutoverReport['copied']> {
  if (copyRows === undefined) return {}
  try {
    return await copyRows()
  } catch (error) {
    onStage(`rows of tables that live lacks are not copied: ${messageOf(error)}`)
    return null
  }
}

function needLive({ applicationId, folder }: CutoverSettings, { current }: Journal): Generation {
  if (current === undefined)
    throw new FreshetError(
      'CALL_INVALID',
      `nothing is live here: \`freshet run\` has not begun yet, so there is nothing that ${folder.name} could take the place of`,
    )
  if (current.application === applicationId) return current
  throw new FreshetError(
    'APPLICATION_OTHER',
    `the topics belong to application ${current.application}, this is ${applicationId}; call it with application.id=${current.application}`,
  )
}

/** What the replay gives must be all that the live workers have, over the same partitions, at offsets that the log has. */
async function needFit(
  { folder, application: { kinds }, counts, transport, prefix }: CutoverSettings,
  { born }: Journal,
): Promise<void> {
  const spec = folder.spec()
  const refuse = (why: string): never => {
    throw new FreshetError('CALL_INVALID', `replay ${folder.name} can't go live: ${why}`)
  }
  // one that ended while it caught up is caught up again
  if (!folder.checkpoint()?.done && !existsSync(join(folder.dir, BEGUN)))
    refuse(`it is not done; let it come to its end (\`freshet replay resume ${folder.name}\`)`)
  if (spec.backfill) refuse('it recomputes rows of tables alone')
  const own = new Set(kinds.map(kind => kind.name))
  const missing = [...born].find(task => !own.has(task.slice(0, task.lastIndexOf('-'))))
  if (missing)
    refuse(`the live state has ${missing}, of which the replay's topologies have nothing`)
  for (const [topic, ranges] of Object.entries(spec.ranges)) {
    const full = topicNames(prefix, 1).outside(topic)
    const partitions = (await transport.topics.describe([full])).get(full)?.partitions
    if (partitions === undefined) refuse(`${full} is not there, which it read`)
    if (partitions !== ranges.length)
      refuse(`${full} has ${partitions} partitions, the replay read ${ranges.length}`)
    const bounds = await transport.topics.offsets(
      ranges.map((_, partition) => ({ topic: full, partition })),
    )
    ranges.forEach(([, to], partition) => {
      const { start, end } = bounds[partition]
      if (to < start)
        throw new FreshetError(
          'POSITION_LOST',
          `${full}-${partition}: the replay ended at ${to}, the log begins at ${start}: records ${to} to ${start - 1} are gone and were not replayed; begin a replay that reads them from an archive, or one from what is left`,
        )
      if (to > end)
        throw new FreshetError(
          'POSITION_LOST',
          `${full}-${partition}: the replay ended at ${to}, the log ends at ${end}: it was made anew, or the replay is of another log`,
        )
    })
  }
  for (const { name, inputs } of kinds)
    for (const topic of inputs)
      if (!(topic in spec.ranges))
        refuse(`its tasks of kind ${name} did not read ${topic}, which the live ones do`)
      else if (spec.ranges[topic].length !== counts.get(name))
        refuse(`${name} has ${counts.get(name)} tasks live and ${spec.ranges[topic].length} in it`)
}

/** Runs the replay on behind the live state and uploads, while the workers work, until little is left to do. */
async function upToNearTheEnd(
  { onStage, catchUp, folder }: CutoverSettings,
  upload: Upload,
  live: () => Promise<Positions>,
): Promise<void> {
  onStage('caught up')
  await catchUp(await live())
  onStage('uploaded')
  await upload.begin()
  for (let round = 0; round < MOST_ROUNDS; round++) {
    await upload.rows()
    const ends = await live()
    if (between(endsOf(folder), ends) < LITTLE_RECORDS) return
    await catchUp(ends)
  }
}

/** Up to where the replay has read. */
function endsOf(folder: ReplayFolder): Positions {
  const { ranges } = folder.spec()
  return Object.fromEntries(
    Object.entries(ranges).map(([topic, parts]) => [topic, parts.map(([, to]) => to)]),
  )
}

/** What a replay reads to go on to `ends`, at least; undefined where it has come to them. */
export function onward(
  { ranges, source }: ReplaySpec,
  ends: Positions,
): ReplaySpec['ranges'] | undefined {
  const further: Record<string, Range[]> = {}
  let isFurther = false
  for (const [topic, parts] of Object.entries(ranges))
    further[topic] = parts.map(([from, to], partition) => {
      const end = Math.max(to, ends[topic]?.[partition] ?? to)
      if (end > to) isFurther = true
      // erasures that were read are done; and of what an archive had, the log need hold nothing any more
      return [source.kind === 'kafka' && topic !== 'erasures' ? from : to, end]
    })
  return isFurther ? further : undefined
}

function furthest(a: Positions, b: Positions): Positions {
  return Object.fromEntries(
    Object.keys({ ...a, ...b }).map(topic => {
      const [ours = [], theirs = []] = [a[topic], b[topic]]
      const length = Math.max(ours.length, theirs.length)
      return [topic, Array.from({ length }, (_, p) => Math.max(ours[p] ?? 0, theirs[p] ?? 0))]
    }),
  )
}

/** Records from one to the other. */
export function between(from: Positions, to: Positions): number {
  let records = 0
  for (const [topic, parts] of Object.entries(to))
    parts.forEach((end, partition) => {
      records += Math.max(0, end - (from[topic]?.[partition] ?? 0))
    })
  return records
}
