/**
 * A record of the items topic as an ItemEvent, or why it can't be used. The key's rules are those of events: raw UTF-8,
 * equal to the record's itemId, on the partition that Java's murmur2 gives.
 */
import type { Decoder, Item } from '../../schemas/index.ts'
import { partitionOf } from '../../streams/serde/hash.ts'
import type { Bad, Decoded } from '../../streams/topology/stage.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import { framedKey, longKey, mismatchedKey, misplacedKey, missingKey } from '../keys.ts'

export interface ItemEvent {
  readonly itemId: string
  /** null: a tombstone. */
  readonly item: Item | null
  /** The Kafka record's timestamp, ms. */
  readonly at: number
  readonly offset: number
}

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
    if (wrongKey || key === null) return wrongKey ?? missingKey('itemId')
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
    if (item.itemId !== itemId) return mismatchedKey(key, 'itemId', item.itemId)
    return { ok: { ...base, item } }
  }
}

function keyProblem(
  key: Buffer | null,
  place: { readonly partition: number; readonly partitions: number },
): Bad | undefined {
  if (key === null || key.length === 0) return missingKey('itemId')
  const wrong = framedKey(key) ?? longKey(key, 'itemId')
  if (wrong) return wrong
  const right = partitionOf(key, place.partitions)
  return right === place.partition
    ? undefined
    : misplacedKey(key.toString(), right, place.partition)
}
