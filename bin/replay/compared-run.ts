/** A run as `freshet replay compare` sees it: where it stands, its digests, its views. */
import {
  type Positions,
  positionsOfFolder,
  positionsOfLive,
} from '../../replay/compare/positions.ts'
import type { Digests } from '../../replay/digest/digest.ts'
import type { ReplayFolder } from '../../replay/shadow/folder.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { ViewReader } from '../../streams/sinks.ts'
import type { Values } from '../call.ts'
import { openTransport, openViews, REACH_MS, type Surroundings, stateInForce } from '../compose.ts'
import { openShadowViews } from './open-part.ts'
import { replayValues } from './values.ts'

export interface ComparedRun {
  readonly positions: Positions
  /** null: there is no state. */
  readonly digests: Digests | null
  /** null: left out, or nothing was ever written. */
  readonly views: ViewReader | null
  /** null: live. */
  readonly spec: ReplaySpec | null
  /** Options in effect. */
  readonly values: Values
  /** Where a report on it goes. */
  readonly dir: string
  readonly notes: readonly string[]
  close(): Promise<void>
}

/** Kinds with input topics. */
const readingKinds = ['user', 'item']

export async function replayRun(around: Surroundings, folder: ReplayFolder): Promise<ComparedRun> {
  const spec = folder.spec()
  const values = replayValues(around.values, spec)
  const checkpoint = folder.checkpoint()
  const notes = checkpoint?.done
    ? []
    : [
        `replay ${folder.name} is not at its end: it is compared as of its last checkpoint, its views and rows as they are`,
      ]
  return {
    positions: positionsOfFolder(folder),
    digests: null,
    ...(await viewsOf(
      () => openShadowViews({ ...around, values }, folder, around.clock, true),
      folder.name,
      notes,
    )),
    spec,
    values,
    dir: folder.dir,
    notes,
  }
}

export async function liveRun(around: Surroundings): Promise<ComparedRun> {
  const notes: string[] = []
  return {
    ...(await liveState(around, notes)),
    ...(await viewsOf(() => openViews(around, true), 'live', notes)),
    spec: null,
    values: around.values,
    dir: '',
    notes,
  }
}

async function liveState(
  around: Surroundings,
  notes: string[],
): Promise<Pick<ComparedRun, 'positions' | 'digests'>> {
  try {
    const transport = await openTransport(around, REACH_MS, true)
    try {
      const { names } = await stateInForce(around.values, transport)
      const changelogs = readingKinds.map(kind => names.changelog(kind))
      const there = await transport.topics.describe(changelogs)
      const at = [...there].flatMap(([topic, { partitions }]) =>
        Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
      )
      return { positions: await positionsOfLive(transport, at), digests: null }
    } finally {
      await transport.close()
    }
  } catch (error) {
    notes.push(absent(error, 'there is no live state'))
    return { positions: new Map(), digests: null }
  }
}

type Opened = (ViewReader & { close(): Promise<void>; ping?(): Promise<unknown> }) | null

async function viewsOf(
  open: () => Opened,
  name: string,
  notes: string[],
): Promise<Pick<ComparedRun, 'views' | 'close'>> {
  let views: Opened = null
  try {
    views = open()
  } catch (error) {
    notes.push(absent(error, `there are no views of ${name}`))
  }
  await views?.ping?.()
  return { views, close: async () => views?.close() }
}

/** What a folder that nothing was ever written into says; anything else is an error. */
function absent(error: unknown, sentence: string): string {
  if (error instanceof FreshetError && ['CALL_INVALID', 'TOPIC_MISSING'].includes(error.code))
    return `${sentence}: ${error.message}`
  throw error
}
