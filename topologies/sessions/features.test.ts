/** The hand-written encoder against avsc with the schema as it is published. */
import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { definitions } from '../../schemas/definitions.ts'
import { namedItems } from '../../test/support/user-task.ts'
import type { UserState } from '../user/user-state.ts'
import { FeaturesEncoder } from './features.ts'
import { SessionState } from './session.ts'

const type = avsc.Type.forSchema(JSON.parse(definitions.SessionFeatures))
const ids = fc.oneof(
  fc.string({ minLength: 1, maxLength: 80 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
)
const count = fc.oneof(fc.nat(200), fc.nat(2 ** 31 - 1))

describe('session-features', () => {
  it('are the bytes that avsc writes', () => {
    const times = fc.record({ startedAt: fc.nat(2 ** 46), length: fc.nat(2 ** 40) })
    const counts = fc.tuple(count, count, count, fc.nat(2 ** 50), count, count)
    fc.assert(
      fc.property(
        ids,
        times,
        counts,
        fc.array(ids, { maxLength: 50 }),
        fc.nat(2 ** 50),
        (...all) => {
          const [userId, { startedAt, length }, numbers, itemIds, offset] = all
          const items = namedItems()
          const session = new SessionState({ id: userId } as UserState, startedAt)
          session.lastEventAt = startedAt + length
          const [impressions, watches, positives, watchedMs, completes, skips] = numbers
          Object.assign(session, { impressions, watches, positives, watchedMs, completes, skips })
          session.items = itemIds.map(id => items.index(id))
          const bytes = new FeaturesEncoder(77, items).encode(userId, session, offset)
          expect(bytes.readUInt8(0)).toBe(0)
          expect(bytes.readInt32BE(1)).toBe(77)
          const expected = type.toBuffer({
            eventId: `${session.id}-${offset}`,
            userId,
            session_id: session.id,
            started_at: startedAt,
            last_event_at: startedAt + length,
            impressions,
            watches,
            positives,
            watched_ms: watchedMs,
            completes,
            skips,
            last_items: itemIds,
            version: '',
          })
          expect(bytes.subarray(5).equals(expected)).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('fit at the longest ids that are taken', () => {
    const items = namedItems()
    const session = new SessionState({ id: 'u'.repeat(256) } as UserState, 1)
    session.items = Array.from({ length: 50 }, (_, k) => items.index(`${k}`.padStart(256, 'i')))
    const bytes = new FeaturesEncoder(1, items).encode('u'.repeat(256), session, 2 ** 50)
    expect(
      (type.fromBuffer(bytes.subarray(5)) as { last_items: string[] }).last_items[49],
    ).toHaveLength(256)
  })
})
