/**
 * A record of the items topic as an ItemEvent, or why it can't be used. The key's rules are those of events: raw UTF-8,
 * equal to the record's itemId, on the partition that Java's murmur2 gives.
 */
import type { Decoder, Item } from '../../schemas/index.ts'
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
/** A row of the changelog has 1 MiB at most, and holds the item with its vector. */
const MAX_VALUE_BYTES = 768 * 1024

/** `TaskLogic.decode` of the item task. */
export function createItemDecode(
  place: { readonly partition: number; readonly partitions: number },
  decoder: Pick<Decoder<'items'>, 'decode' | 'resolve'>,
): (record: LogRecord) => Decoded<ItemEvent> {
  return record => {
    const { key, value } = record
    const wrongKey = keyProblem(key, place)
    if (wrongKey || key === null) return wrongKey ?? missingKey
    const itemId = key.toString()
    const base = { itemId, at: Math.max(0, record.timestamp), offset: record.offset }
    if (value === null) return { ok: { ...base, item: null } }
    if (value.length > MAX_VALUE_BYTES)
      return {
        bad: 'VALUE_TOO_LARGE',
        message: `the value has ${value.length} bytes; an item may have ${MAX_VALUE_BYTES}`,
      }
    const decoded = decoder.decode(value)
    if ('needs' in decoded) return { waitFor: decoder.resolve(decoded.needs) }
    if ('bad' in decoded) return decoded
    const item = decoded.record
    if (item.itemId !== itemId)
      return {
        bad: 'KEY_MISMATCH',
        message: `the key is ${JSON.stringify(itemId.slice(0, 60))}, the record's itemId is ${JSON.stringify(item.itemId.slice(0, 60))}: send the raw UTF-8 of the itemId as the key`,
      }
    return { ok: { ...base, item } }
  }
}

const missingKey: Bad = {
  bad: 'KEY_MISSING',
  message: 'the record has no key; the key must be the itemId',
}

function keyProblem(
  key: Buffer | null,
  place: { readonly partition: number; readonly partitions: number },
): Bad | undefined {
  if (key === null || key.length === 0) return missingKey
  if (key[0] === 0 && key.length >= 5)
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
