/**
 * Store and channel numbers of the task kind `item`. They stand on the log for ever: never reuse one.
 * Followers (the item table, the windows table) pass over stores they do not know.
 */
import type { DeltaChannel } from '../../streams/topology/outbox.ts'

export const itemStores = { catalog: 1, counts: 2, hours: 3, neighbours: 4 } as const

/** Counts per item, cohort and minute, from user tasks. */
export const popularityChannel: DeltaChannel = { id: 10, name: 'popularity', to: 'item' }
/** Co-visitation edges, from user tasks. */
export const covisitChannel: DeltaChannel = { id: 11, name: 'covisit', to: 'item' }
