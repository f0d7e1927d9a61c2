/** A user's newest session as outside readers see it: the Redis hash and the record of session-features. */
import type { SessionFeaturesDraft } from '../../schemas/index.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { ItemTable } from '../items/table.ts'
import type { SessionState } from './session.ts'

export const sessionKey = (userId: string): string => `session:${userId}`
export const listKey = (surface: string, userId: string): string => `topk:${surface}:u:${userId}`

/** Fields and order of CONTRACT 2; `recordTs` measures freshness. */
export function sessionView(
  userId: string,
  session: SessionState,
  items: ItemTable,
  ttlMs: number,
  recordTs: number,
): ViewWrite {
  return {
    op: 'hash',
    key: sessionKey(userId),
    fields: [
      'session_id',
      session.id,
      'started_at',
      String(session.startedAt),
      'last_event_at',
      String(session.lastEventAt),
      'impressions',
      String(session.impressions),
      'watches',
      String(session.watches),
      'positives',
      String(session.positives),
      'watched_ms',
      String(session.watchedMs),
      'completes',
      String(session.completes),
      'skips',
      String(session.skips),
      'last_items',
      JSON.stringify(itemIds(session, items)),
    ],
    ttlMs,
    recordTs,
  }
}

/** `eventId` is stable for a state of the session: readers drop repetitions by it. */
export function sessionFeatures(
  userId: string,
  session: SessionState,
  items: ItemTable,
  offset: number,
): SessionFeaturesDraft {
  const session_id = session.id
  return {
    eventId: `${session_id}-${offset}`,
    userId,
    session_id,
    started_at: session.startedAt,
    last_event_at: session.lastEventAt,
    impressions: session.impressions,
    watches: session.watches,
    positives: session.positives,
    watched_ms: session.watchedMs,
    completes: session.completes,
    skips: session.skips,
    last_items: itemIds(session, items),
  }
}

function itemIds(session: SessionState, items: ItemTable): string[] {
  return session.items.map(item => items.idOf(item))
}
