/**
 * A record of the items topic as an ItemEvent, or why it can't be used. The key's rules are those of events: raw UTF-8,
 * equal to the record's itemId, on the partition that Java's murmur2 gives.
 */
import type { Item } from '../../schemas/index.ts'
import { partitionOf } from '../../streams/serde/hash.ts'
import type { Bad, Decoded } from '../../streams/topology/stage.ts'
import type { LogRecord } from '../../streams/transport/port.ts'

export interface ItemEvent {
  readonly itemId: string
  /** null: a tombstone. */
  readonly item: Item | null
  /** The Kafka record's timestamp, ms. */
  readonly at: number
  readonly offset: number
}

const MAX_ID_BYTES = 256

/** `decodeItem` is given the value of a record that is not a tombstone: schema resolution and field rules are its job. */
export function createItemDecoder(
  place: { readonly partition: number; readonly partitions: number },
  decodeItem: (value: Buffer) => Decoded<Item>,
): (record: LogRecord) => Decoded<ItemEvent> {
  return record => {
    const { key, value } = record
    const wrongKey = checkKey(key, place)
    if (wrongKey || key === null) return wrongKey ?? missingKey
    const itemId = key.toString()
    const base = { itemId, at: Math.max(0, record.timestamp), offset: record.offset }
    if (value === null) return { ok: { ...base, item: null } }
    const decoded = decodeItem(value)
    if (decoded === 'skip' || !('ok' in decoded)) return decoded
    const item = decoded.ok
    if (item.itemId !== itemId)
      return {
        bad: 'KEY_MISMATCH',
        message: `the key is ${JSON.stringify(itemId.slice(0, 64))}, the record's itemId is ${JSON.stringify(item.itemId.slice(0, 64))}; the key must be the itemId as plain UTF-8`,
      }
    return { ok: { ...base, item } }
  }
}

const missingKey: Bad = {
  bad: 'KEY_MISSING',
  message: 'the record has no key; the key must be the itemId',
}

function checkKey(
  key: Buffer | null,
  place: { readonly partition: number; readonly partitions: number },
): Bad | undefined {
  if (key === null || key.length === 0) return missingKey
  if (key[0] === 0)
    return {
      bad: 'KEY_FRAMED',
      message:
        'the key begins with byte 0: it was written by a schema-registry serializer; write it with a plain string serializer (key.serializer=StringSerializer)',
    }
  if (key.length > MAX_ID_BYTES)
    return {
      bad: 'FIELD_INVALID',
      message: `the key has ${key.length} bytes; ids have 1 to ${MAX_ID_BYTES}`,
    }
  const right = partitionOf(key, place.partitions)
  if (right !== place.partition)
    return {
      bad: 'PARTITION_MISMATCH',
      message: `the key belongs to partition ${right}, the record is on ${place.partition}; use murmur2 as Java's client does (librdkafka: partitioner=murmur2_random)`,
    }
  return undefined
}
