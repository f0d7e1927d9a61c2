/**
 * An event as plain JSON: `{"type": "watch", "eventId": ..., "ts": "2026-01-01T10:00:00Z", ...}`. The fields are those of
 * the Avro record; an absent one takes its default, an unknown one is ignored, and types are strict: "1" is no number.
 */
import { isUtf8 } from 'node:buffer'
import type { DeadLetterCode } from '../streams/topology/outbox.ts'
import { type AvroType, describe } from './avro-schema.ts'
import { defaultOf } from './compile.ts'
import { readerSchemas } from './readers.ts'

export type JsonEvent =
  | { readonly name: 'Impression' | 'Watch' | 'Feedback'; readonly record: unknown }
  | { readonly bad: DeadLetterCode; readonly message: string }

const names = { impression: 'Impression', watch: 'Watch', feedback: 'Feedback' } as const

/** Never throws: what is wrong with the value is the answer. */
export function jsonEvent(value: Buffer): JsonEvent {
  const given = parse(value)
  if (typeof given === 'string') return { bad: 'JSON_INVALID', message: given }
  const type = given.type
  if (type === undefined)
    return { bad: 'FIELD_MISSING', message: 'type is missing: impression, watch or feedback' }
  if (type !== 'impression' && type !== 'watch' && type !== 'feedback')
    return invalid('type', 'impression, watch or feedback', type)
  const name = names[type]
  const record: Record<string, unknown> = {}
  for (const field of readerSchemas[name].fields) {
    const found = given[field.name]
    if (found !== undefined && Object.hasOwn(given, field.name)) {
      const read = readValue(field.type, found)
      if (read === undefined) return invalid(field.name, takes(field.type), found)
      record[field.name] = read
    } else if (field.default !== undefined)
      record[field.name] = defaultOf(field.type, field.default)
    else return { bad: 'FIELD_MISSING', message: `${field.name} is missing` }
  }
  return { name, record }
}

function parse(value: Buffer): Record<string, unknown> | string {
  if (!isUtf8(value)) return 'the JSON is not UTF-8'
  try {
    return JSON.parse(value.toString('utf8')) as Record<string, unknown>
  } catch (error) {
    return `the value starts with { and is not JSON: ${error instanceof Error ? error.message : error}`
  }
}

/** undefined: not of the type. */
function readValue(type: AvroType, given: unknown): unknown {
  switch (type.kind) {
    case 'union': {
      for (const branch of type.branches) {
        const read = readValue(branch, given)
        if (read !== undefined) return read
      }
      return undefined
    }
    case 'null':
      return given === null ? null : undefined
    case 'boolean':
      return typeof given === 'boolean' ? given : undefined
    case 'string':
      return typeof given === 'string' && wellFormed(given) ? given : undefined
    case 'enum':
      if (typeof given !== 'string') return undefined
      return type.symbols.includes(given) ? given : type.default
    case 'int':
      return typeof given === 'number' && (given | 0) === given ? given : undefined
    case 'long':
      if (type.logical === 'timestamp-millis' && typeof given === 'string') return isoTime(given)
      return Number.isSafeInteger(given) ? given : undefined
    case 'float':
    case 'double':
      return typeof given === 'number' ? given : undefined
    case 'array':
      return Array.isArray(given) ? allOf(given, type.items) : undefined
    case 'map':
      return mapOf(given, type.values)
    case 'bytes':
    case 'fixed':
    case 'record':
      return undefined
  }
}

function allOf(given: readonly unknown[], items: AvroType): unknown {
  const read = given.map(each => readValue(items, each))
  return read.includes(undefined) ? undefined : read
}

function mapOf(given: unknown, values: AvroType): unknown {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return undefined
  const map: Record<string, unknown> = {}
  for (const [key, each] of Object.entries(given)) {
    const read = readValue(values, each)
    if (read === undefined) return undefined
    map[key] = read
  }
  return map
}

const iso =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)$/i

/** ms of an ISO-8601 time; undefined where it is none, or has no zone (then it would mean something else everywhere). */
export function isoTime(text: string): number | undefined {
  const match = iso.exec(text)
  if (!match) return undefined
  const [, year, month, day, hour, minute, second = '0', fraction = '', zone] = match
  const date = Date.UTC(+year, +month - 1, +day)
  const days = new Date(date)
  if (days.getUTCMonth() + 1 !== +month || days.getUTCDate() !== +day) return undefined
  if (+hour > 23 || +minute > 59 || +second > 60) return undefined
  const ms = Math.floor(+`0.${fraction || 0}` * 1000 + 1e-6)
  const local = date + +hour * 3_600_000 + +minute * 60_000 + +second * 1000 + ms
  if (zone.toUpperCase() === 'Z') return local
  const offset = zone.replace(':', '')
  const offsetMs = (+offset.slice(1, 3) * 60 + +(offset.slice(3) || 0)) * 60_000
  return offset[0] === '-' ? local + offsetMs : local - offsetMs
}

/** A lone surrogate has no UTF-8: two such ids would become one. */
function wellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

function takes(type: AvroType): string {
  if (type.kind === 'union') return type.branches.map(takes).join(' or ')
  if (type.kind === 'enum') return `one of ${type.symbols.join(', ')}`
  if (type.kind === 'long')
    return type.logical ? 'ms since 1970, or ISO-8601 with a zone' : 'a whole number within 2^53'
  if (type.kind === 'int') return 'a whole number of 32 bits'
  if (type.kind === 'array') return `an array, each entry ${takes(type.items)}`
  if (type.kind === 'map') return `an object, each value ${takes(type.values)}`
  return type.kind === 'string' || type.kind === 'boolean' ? `a ${type.kind}` : describe(type)
}

function invalid(field: string, expected: string, got: unknown): JsonEvent {
  const text = JSON.stringify(got) ?? String(got)
  const shown = text.length > 80 ? `${text.slice(0, 80)}...` : text
  return { bad: 'FIELD_INVALID', message: `${field} takes ${expected}, got ${shown}` }
}
