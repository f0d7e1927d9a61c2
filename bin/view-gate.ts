/** Whether a generation's views are held back at first, and until when. */
import { between } from '../replay/cutover/cutover.ts'
import { positionsOf } from '../replay/cutover/live.ts'
import { systemClock } from '../streams/clock.ts'
import type { InForce } from '../streams/runtime/generations.ts'
import { countPartitions } from '../streams/runtime/topics.ts'
import { ViewGate } from '../streams/runtime/view-gate.ts'
import type { Surroundings } from './compose.ts'
import { nameOnly } from './doctor/examine.ts'
import type { WorkerParts } from './worker.ts'

/** undefined: nothing is held back, or all that would be is taken in already. */
export async function gateOf(
  { values, log, clock = systemClock }: Surroundings,
  { transport, views }: Pick<WorkerParts, 'transport' | 'views'>,
  { names, shownFrom }: InForce,
): Promise<ViewGate | undefined> {
  if (shownFrom === undefined || views === null) return undefined
  const application = await nameOnly(values)
  const counts = await countPartitions(application, names, transport.topics)
  const { kinds } = application
  const caughtUp = async (): Promise<boolean> =>
    between(await positionsOf({ transport, kinds, counts }, names), shownFrom) === 0
  if (await caughtUp()) return undefined
  // an empty set of popularity is one of a moment that is over
  const mayGo = (key: string): boolean => !key.startsWith('pop:')
  return new ViewGate({ views, mayGo, caughtUp, clock, log })
}
