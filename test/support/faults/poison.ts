/** Records that nobody can read, one of a kind each, and the code that their dead letters carry. */
import { framed, json, keyOn, PARTITIONS, partitionOf, text, without } from '../../e2e/producers.ts'
import type { StoryEvent } from './tally.ts'

export interface Poison {
  readonly code: RegExp
  readonly key: Buffer | null
  readonly value: Buffer
  readonly partition: number
}

type Kind = (
  unique: string,
  event: Record<string, unknown>,
) => readonly [code: RegExp, value: Buffer, key?: Buffer | null]

const kinds: readonly Kind[] = [
  unique => [/^DECODE_FAILED$/, text(`garbage ${unique}`)],
  unique => [/^DECODE_FAILED$/, Buffer.concat([Buffer.from([0xff, 0x12, 0]), text(unique)])],
  unique => [/^SCHEMA_UNKNOWN$/, framed(987_654, text(unique))],
  unique => [/^JSON_INVALID$/, text(`{"type":"watch","eventId":"${unique}`)],
  (_, event) => [/^FIELD_MISSING$/, json(without(event, 'itemId'))],
  (_, event) => [/^FIELD_MISSING$/, json(without(event, 'consent'))],
  (_, event) => [/^FIELD_INVALID$/, json({ ...event, ts: -1 })],
  (_, event) => [/^FIELD_INVALID$/, json({ ...event, type: 'purchase' })],
  (_, event) => [/^FIELD_INVALID$/, json({ ...event, itemId: 'x'.repeat(257) })],
  (_, event) => [/^KEY_MISSING$/, json(event), null],
  (_, event) => [/^KEY_MISSING$/, json(event), text('')],
  (_, event) => [/^KEY_MISMATCH$/, json(event), text('somebody')],
]

/** `choice` in [0, 1) picks the kind. Stands on the partition of the event's user. */
export function poisonOf(number: number, choice: number, event: StoryEvent): Poison {
  const unique = `poison-${number}`
  const kind = Math.floor(choice * (kinds.length + 1))
  const like = { ...event, eventId: unique }
  const own = partitionOf(event.userId)
  if (kind === kinds.length) {
    const userId = keyOn((own + 1) % PARTITIONS, `astray-${number}-`)
    const value = json({ ...like, userId })
    return { code: /^PARTITION_MISMATCH$/, key: text(userId), value, partition: own }
  }
  const [code, value, key = text(event.userId)] = kinds[kind](unique, like)
  return { code, key, value, partition: own }
}
