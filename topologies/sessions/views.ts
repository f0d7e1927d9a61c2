/** A user's newest session as the Redis hash that outside readers see. */
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { ItemTable } from '../items/table.ts'
import type { SessionState } from './session.ts'

const HOUR_MS = 3_600_000

/** The gap, and an hour for readers that come late. */
export const sessionLifeMs = (gapMs: number): number => gapMs + HOUR_MS

export const sessionKey = (userId: string): string => `session:${userId}`
export const listKey = (surface: string, userId: string): string => `topk:${surface}:u:${userId}`

/** Fields and order of CONTRACT 2; `recordTs` measures freshness, where it answers a record. */
export function sessionView(
  userId: string,
  session: SessionState,
  items: ItemTable,
  ttlMs: number,
  recordTs?: number,
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
    ...(recordTs === undefined ? {} : { recordTs }),
  }
}

function itemIds(session: SessionState, items: ItemTable): string[] {
  return session.items.map(item => items.idOf(item))
}
