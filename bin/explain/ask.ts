/** Puts together what `freshet explain` needs: the user's list drawn again from the state, and the stored one beside it. */

import { systemClock } from '../../streams/clock.ts'
import { messageOf } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { ListArms } from '../../topologies/experiments/book.ts'
import { Listing } from '../../topologies/explain/listing.ts'
import type { RankingModel } from '../../topologies/explain/recorded.ts'
import type { VerdictSettings } from '../../topologies/explain/verdict.ts'
import type { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { isHoldout } from '../../topologies/topk/exploration.ts'
import { exclusionsOf } from '../../topologies/user/exclusions.ts'
import type { StoredUser } from '../../topologies/user/stored-user.ts'
import type { Call } from '../call.ts'
import { openRegistry } from '../compose.ts'
import { lookAtExperiments } from '../experiments-topic.ts'
import { followModel } from '../model-host.ts'
import type { OpenedState } from '../state.ts'
import { time } from '../terminal.ts'
import type { StoredList } from './stored-list.ts'

export interface Asked {
  readonly user: StoredUser
  readonly items: MemoryItemTable
  readonly listing: Listing
  readonly stored: StoredList | null
  readonly verdicts: VerdictSettings
  /** What makes numbers of now and of the stored list disagree: to be read first. */
  readonly warning: string | undefined
  /** What else a reader of the answer has to know, a sentence each. */
  readonly notes: readonly string[]
  /** When, ms. */
  readonly now: number
}

/** Draws the user's list as a worker would now. Waits for a promoted model where one ranks. */
export async function drawAgain(
  call: Call,
  state: OpenedState,
  user: StoredUser,
  surface: string,
  stored: StoredList | null | undefined,
): Promise<Asked> {
  const { values } = call
  const items = await state.items()
  const notes: string[] = []
  const model = await openModel(call, state, notes)
  const now = systemClock.now()
  const arms = await armsOf(call, state, user.id, now, notes)
  const settings = { options: values, items, model: model?.ranking, arms }
  const listing = new Listing(settings, user, now, surface)
  await model?.close()
  notes.push(...notesOf(call, listing, stored))
  return {
    user,
    items,
    listing,
    stored: stored ?? null,
    verdicts: {
      exclusions: new Map(exclusionsOf(user).map(exclusion => [exclusion.item, exclusion])),
      groups: values['topk.policies'].groups.map(({ name }) => name),
    },
    warning:
      stored && stored.policy !== listing.policy
        ? `the list was drawn by policy ${stored.policy}, now it would be ${listing.policy}: if the worker has other options, give explain the same`
        : undefined,
    notes,
    now,
  }
}

/** Undefined where the experiments can't be read. */
async function armsOf(
  { values }: Call,
  { transport, names, log }: OpenedState,
  userId: string,
  now: number,
  notes: string[],
): Promise<ListArms | undefined> {
  const registry = await openRegistry({ values, log, metrics: noMetrics })
  try {
    const at = { transport, names, registry, clock: systemClock, log }
    const arms = (await lookAtExperiments(at, values)).armsFor(userId, now)
    if (arms.tag !== '')
      notes.push(
        `${userId} is in ${arms.tag.slice(1).split('+').join(' and ')}, which changes how the list is drawn (freshet experiments list)`,
      )
    return arms
  } catch (error) {
    notes.push(
      `the experiments can't be read (${messageOf(error)}): what the user's arms change is left out`,
    )
    return undefined
  } finally {
    registry.close()
  }
}

async function openModel(
  { values }: Call,
  { transport, names, log }: OpenedState,
  notes: string[],
): Promise<{ ranking: RankingModel; close(): Promise<void> } | undefined> {
  if (!values.ranker.startsWith('model:')) return undefined
  const around = { values, log, metrics: noMetrics }
  const registry = await openRegistry(around)
  try {
    const followed = await followModel(around, transport, names, registry)
    if (followed?.host.served === undefined) {
      notes.push(`ranker is ${values.ranker} and no such model ranks: the blend does`)
      await followed?.close()
      registry.close()
      return undefined
    }
    const ranking = { host: followed.host, depth: values['ranker.cascade'] }
    return {
      ranking,
      async close() {
        await followed.close()
        registry.close()
      },
    }
  } catch (error) {
    registry.close()
    notes.push(
      `ranker is ${values.ranker}, which can't be loaded here (${messageOf(error)}): the scores are the blend's`,
    )
    return undefined
  }
}

function notesOf(
  { values }: Call,
  listing: Listing,
  stored: StoredList | null | undefined,
): string[] {
  const { user, evidence, surface } = listing
  const notes: string[] = []
  const { countedUntil } = evidence.ask
  if (stored === undefined) notes.push('redis.url is none: there is no stored list to compare with')
  if (stored) {
    notes.push(
      `the list was drawn ${time(stored.at)} and the state has moved on since: it holds events up to ${time(countedUntil)}; what is said of now need not be what was true then (a share of draws stands in the table slates, exactly as drawn)`,
    )
  }
  if (isHoldout(user.id, values))
    notes.push(`${user.id} is of the holdout: drawn at a high temperature, and nothing is learnt`)
  if (surface.epsilons.length > 1 || Number.isFinite(surface.explorePerDay))
    notes.push(
      "the newest context and the day's count of explored positions are in a worker's memory only: the cohort stands in for the context here, and nothing counts as explored today",
    )
  notes.push('impressions of the last 10 seconds may be missing: they are written that often')
  return notes
}
