/**
 * The rules of keys, for users and items alike: raw UTF-8 of the id, 1 to 256 bytes, on the partition that Java's murmur2
 * gives. Each sentence names what the sender has to change.
 */
import type { Bad } from '../streams/topology/stage.ts'

export type KeyField = 'userId' | 'itemId'

const LIMIT_BYTES = 256

const missing = {
  userId: {
    bad: 'KEY_MISSING',
    message: 'the record has no key: send the userId as the key, so that a user has one order',
  },
  itemId: {
    bad: 'KEY_MISSING',
    message: 'the record has no key: send the itemId as the key, so that an item has one order',
  },
} as const satisfies Record<KeyField, Bad>

export const missingKey = (field: KeyField): Bad => missing[field]

export function longKey(key: Buffer, field: KeyField): Bad | null {
  if (key.length <= LIMIT_BYTES) return null
  return {
    bad: 'FIELD_INVALID',
    message: `the key has ${key.length} bytes: it is to be the ${field}, and ids have 1 to ${LIMIT_BYTES}`,
  }
}

export function framedKey(key: Buffer): Bad | null {
  if (key[0] !== 0 || key.length < 5) return null
  return {
    bad: 'KEY_FRAMED',
    message: `the key begins with schema framing (id ${key.readInt32BE(1)}): the client's key serializer is to be a plain string serializer (Java: StringSerializer), not that of the schema registry`,
  }
}

export function mismatchedKey(key: Buffer, field: KeyField, id: string): Bad {
  return {
    bad: 'KEY_MISMATCH',
    message: `the key ${shown(key.toString('utf8', 0, 60))} is not the ${field} ${shown(id)}: send the raw UTF-8 of the ${field} as the key`,
  }
}

export function misplacedKey(id: string, expected: number, found: number): Bad {
  return {
    bad: 'PARTITION_MISMATCH',
    message: `${shown(id)} belongs on partition ${expected} (murmur2 of the key, as Java's client has it) and came on ${found}: set partitioner=murmur2_random in librdkafka clients (Go, Python, .NET)`,
  }
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 60))
