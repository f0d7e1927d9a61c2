/**
 * What a record's fields may hold beyond their types. A check gives null, or a sentence that names the field, what it
 * takes and what it got; the record then goes to the dead letters as FIELD_INVALID.
 *
 * Hot code: one check a record, so each kind reads its own fields by name.
 */
import type { Feedback, Impression, Item, RecordName, RecordTypes, Watch } from './types.ts'

const year2000Ms = Date.UTC(2000, 0, 1)
const dayMs = 86_400_000
const longestIdBytes = 256

export type Check<T> = (record: T) => string | null

export const checks: { readonly [N in RecordName]: Check<RecordTypes[N]> } = {
  Impression: impression,
  Watch: watch,
  Feedback: feedback,
  Item: item,
  Erasure: r => id('eventId', r.eventId) ?? id('userId', r.userId) ?? eventTime(r.ts),
  Identify: r =>
    id('eventId', r.eventId) ?? id('userId', r.userId) ?? id('anonId', r.anonId) ?? eventTime(r.ts),
  Experiment: r =>
    id('experiment', r.experiment) ??
    notNegative('start', r.start) ??
    (r.end === null ? null : notNegative('end', r.end)) ??
    firstOf(r.arms, arm => id('arms.name', arm.name) ?? share(arm.share)) ??
    firstOf(Object.entries(r.guardrails), ([metric, margin]) =>
      finite(`guardrails.${metric}`, margin),
    ),
  Model: r =>
    id('name', r.name) ??
    notNegative('ts', r.ts) ??
    notNegative('chunks', r.chunks) ??
    notNegative('sizeBytes', r.sizeBytes),
  SessionFeatures: r => id('eventId', r.eventId) ?? id('userId', r.userId),
  Alert: r =>
    id('eventId', r.eventId) ?? finite('value', r.value) ?? finite('threshold', r.threshold),
}

function impression(r: Impression): string | null {
  return (
    id('eventId', r.eventId) ??
    id('userId', r.userId) ??
    id('itemId', r.itemId) ??
    (r.requestId === '' ? null : id('requestId', r.requestId)) ??
    eventTime(r.ts) ??
    notNegative('position', r.position) ??
    notNegative('slateSize', r.slateSize) ??
    (r.listIndex === null ? null : notNegative('listIndex', r.listIndex)) ??
    (r.propensity === null || (r.propensity > 0 && r.propensity <= 1)
      ? null
      : wrong('propensity', 'null or above 0 and at most 1', r.propensity)) ??
    (r.score === null ? null : finite('score', r.score))
  )
}

function watch(r: Watch): string | null {
  return (
    id('eventId', r.eventId) ??
    id('userId', r.userId) ??
    id('itemId', r.itemId) ??
    id('playId', r.playId) ??
    (r.requestId === null || r.requestId === '' ? null : id('requestId', r.requestId)) ??
    eventTime(r.ts) ??
    notNegative('seq', r.seq) ??
    (r.watchedMs >= 0 && r.watchedMs <= dayMs
      ? null
      : wrong('watchedMs', 'from 0 to 24 hours of milliseconds', r.watchedMs)) ??
    notNegative('durationMs', r.durationMs)
  )
}

function feedback(r: Feedback): string | null {
  return (
    id('eventId', r.eventId) ??
    id('userId', r.userId) ??
    id('itemId', r.itemId) ??
    (r.requestId === null || r.requestId === '' ? null : id('requestId', r.requestId)) ??
    eventTime(r.ts) ??
    finite('value', r.value)
  )
}

function item(r: Item): string | null {
  return (
    id('itemId', r.itemId) ??
    (r.creatorId === '' ? null : id('creatorId', r.creatorId)) ??
    notNegative('publishedAt', r.publishedAt) ??
    (r.expiresAt === null ? null : notNegative('expiresAt', r.expiresAt)) ??
    notNegative('durationMs', r.durationMs) ??
    (r.embedding === null ? null : firstOf(r.embedding, value => finite('embedding', value)))
  )
}

/** An id is 1 to 256 bytes of UTF-8. */
function id(field: string, value: string): string | null {
  const length = value.length
  // a UTF-16 unit is at most 3 bytes
  if (length > 0 && length <= 85) return null
  if (length > 0 && length <= longestIdBytes && Buffer.byteLength(value) <= longestIdBytes)
    return null
  const found = length === 0 ? 'none' : `${Buffer.byteLength(value)} bytes`
  return `${field} takes 1 to ${longestIdBytes} bytes, got ${found}`
}

function eventTime(ts: number): string | null {
  return ts >= year2000Ms ? null : wrong('ts', 'ms since 1970, from the year 2000 on', ts)
}

function notNegative(field: string, value: number): string | null {
  return value >= 0 ? null : wrong(field, '0 or more', value)
}

/** NaN and the infinities are beyond 2^53 as well. */
function finite(field: string, value: number): string | null {
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER
    ? null
    : wrong(field, 'a number within 2^53', value)
}

function share(value: number): string | null {
  return value >= 0 && value <= 1 ? null : wrong('arms.share', 'from 0 to 1', value)
}

function wrong(field: string, takes: string, got: number): string {
  return `${field} takes ${takes}, got ${got}`
}

function firstOf<T>(values: readonly T[], check: (value: T) => string | null): string | null {
  for (const value of values) {
    const problem = check(value)
    if (problem !== null) return problem
  }
  return null
}
