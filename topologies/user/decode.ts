/**
 * Records of events and erasures to the task's one event object. A record that cannot be used is a Bad value with the
 * sentence that helps its sender; nothing throws. Hot: one call a record.
 */
import type { Decoder } from '../../schemas/index.ts'
import type { Counter } from '../../streams/metrics.ts'
import { partitionOf } from '../../streams/serde/hash.ts'
import type { Bad, Decoded, TaskContext } from '../../streams/topology/stage.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import type { ItemTable } from '../items/table.ts'
import { framedKey, longKey, mismatchedKey, misplacedKey, missingKey } from '../keys.ts'
import { CurrentEvent } from './current-event.ts'
import type { UserEvent } from './event.ts'

const VALUE_LIMIT_BYTES = 1024 * 1024
/** A clock may be this far ahead of the record's timestamp. */
const AHEAD_LIMIT_MS = 300_000

export interface UserDecodeDeps {
  readonly events: Decoder<'events'>
  readonly erasures: Decoder<'erasures'>
}

export type UserDecode = (topic: string, record: LogRecord) => Decoded<UserEvent>

/** `TaskLogic.decode` of the user task. The event it gives is overwritten by the next call. */
export function createUserDecode(ctx: TaskContext, deps: UserDecodeDeps): UserDecode {
  const items = ctx.table<ItemTable>('items')
  const partitions = ctx.partitionsOf(ctx.kind)
  const clamped = ctx.metrics.counter('freshet_clock_ahead_total')
  const current = new CurrentEvent()
  const decoded: Decoded<UserEvent> = { ok: current.asEvent() }

  return (topic, record) => {
    const key = record.key
    const tooLarge = valueProblem(record.value) ?? (key && longKey(key, 'userId'))
    if (tooLarge) return tooLarge
    const decoder = topic === 'erasures' ? deps.erasures : deps.events
    const value = decoder.decode(record.value)
    if ('needs' in value) return { waitFor: decoder.resolve(value.needs) }
    if ('bad' in value) return value
    const event = value.record
    if (key === null || key.length === 0) return missingKey('userId')
    if (!sameText(key, event.userId))
      return framedKey(key) ?? mismatchedKey(key, 'userId', event.userId)
    if (partitionOf(key, partitions) !== ctx.partition)
      return misplacedKey(event.userId, partitionOf(key, partitions), ctx.partition)

    current.kind = value.kind
    current.event = event
    current.topic = topic
    current.offset = record.offset
    current.recordTs = record.timestamp
    current.record = record
    current.userId = event.userId
    current.ts = notAhead(event.ts, record.timestamp, clamped)
    if (value.kind === 'erasure') {
      current.consent = 'none'
      current.item = -1
    } else {
      current.consent = value.record.consent
      current.item = items.index(value.record.itemId)
    }
    current.clearFacts()
    return decoded
  }
}

function notAhead(ts: number, recordTs: number, clamped: Counter): number {
  // a topic may carry no record timestamps (-1)
  if (ts - recordTs <= AHEAD_LIMIT_MS || recordTs < 0) return ts
  clamped.add()
  return recordTs
}

function valueProblem(value: Buffer | null): Bad | null {
  if (value === null || value.length <= VALUE_LIMIT_BYTES) return null
  return {
    bad: 'VALUE_TOO_LARGE',
    message: `the value has ${value.length} bytes, ${VALUE_LIMIT_BYTES} are allowed`,
  }
}

/** Is the key the text's UTF-8? Without an allocation for plain ASCII. */
function sameText(key: Buffer, text: string): boolean {
  const { length } = text
  if (key.length < length) return false
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return Buffer.from(text).equals(key)
    if (key[i] !== code) return false
  }
  return key.length === length
}
