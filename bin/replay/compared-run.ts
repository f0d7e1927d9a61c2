/** A run as `freshet replay compare` sees it: where it stands, its digests, its views. */
import { type Positions, positionsOfFolder } from '../../replay/compare/positions.ts'
import type { Digests } from '../../replay/digest/digest.ts'
import { digestOfFolder, digestOfLive } from '../../replay/digest/digest-of.ts'
import type { ReplayFolder } from '../../replay/shadow/folder.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { ViewReader } from '../../streams/sinks.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { allOptions } from '../all-options.ts'
import type { Values } from '../call.ts'
import { openTransport, openViews, REACH_MS, type Surroundings, stateInForce } from '../compose.ts'
import { isOfTheCall } from './kept-options.ts'
import { openShadowViews } from './open-part.ts'
import { replayValues } from './values.ts'

export interface ComparedRun {
  readonly positions: Positions
  /** null: there is no state. */
  readonly digests: Digests | null
  /** What its tasks have sent each other and not taken in: digests are then of no one moment. */
  readonly underWay: string | undefined
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

const mostReadings = 3
const READING_MS = 1_000

export async function replayRun(around: Surroundings, folder: ReplayFolder): Promise<ComparedRun> {
  const spec = folder.spec()
  const values = ranWith(around.values, spec)
  const checkpoint = folder.checkpoint()
  const underWay = checkpoint?.packets.length ?? 0
  const notes = checkpoint?.done
    ? []
    : [
        `replay ${folder.name} is not at its end: it is compared as of its last checkpoint, its views and rows as they are`,
      ]
  return {
    positions: positionsOfFolder(folder),
    digests: digestOfFolder(folder, digestSettings(values)) ?? null,
    underWay:
      underWay > 0
        ? `${underWay} packets of ${folder.name} are under way at its checkpoint`
        : undefined,
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

/** What is of the call (connections, keys) as it is now, all else as the replay was started. */
function ranWith(values: Values, spec: ReplaySpec): Values {
  const kept = Object.entries(values).map(([name, value]) => [
    name,
    isOfTheCall(name) ? value : allOptions[name as keyof Values].default,
  ])
  return replayValues(Object.fromEntries(kept) as Values, spec)
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

type State = Pick<ComparedRun, 'positions' | 'digests' | 'underWay'>

async function liveState(around: Surroundings, notes: string[]): Promise<State> {
  try {
    const transport = await openTransport(around, REACH_MS, true)
    try {
      const { names } = await stateInForce(around.values, transport)
      const settings = digestSettings(around.values)
      let found = await digestOfLive(transport, names, settings)
      // what is under way arrives within a moment where nothing new comes
      for (let again = 0; again < mostReadings && found.underWay.length > 0; again++) {
        await systemClock.sleep(READING_MS)
        found = await digestOfLive(transport, names, settings)
      }
      return { ...found, underWay: found.underWay[0] }
    } finally {
      await transport.close()
    }
  } catch (error) {
    notes.push(absent(error, 'there is no live state'))
    return { positions: new Map(), digests: null, underWay: undefined }
  }
}

const digestSettings = (values: Values) => ({
  options: values,
  topologies: parseTopologies(values.topologies),
})

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
