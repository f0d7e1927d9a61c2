/**
 * A row of a log as one event. Ratings become watches (CONTRACT 4): durationMs 100000; positive: watched to the end,
 * finished; else watchedMs min(29000, rating x 2900), left. 29 s stays below the 30 s that make a positive.
 */
import { createHash } from 'node:crypto'
import type { FeedbackDraft, ImpressionDraft, WatchDraft } from '../../schemas/index.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { Condition, Values } from './expression.ts'
import type { FieldSource } from './formats.ts'

export type ImportedEvent =
  | { readonly kind: 'Watch'; readonly record: WatchDraft }
  | { readonly kind: 'Impression'; readonly record: ImpressionDraft }
  | { readonly kind: 'Feedback'; readonly record: FeedbackDraft }

const kinds = { watch: 'Watch', impression: 'Impression', feedback: 'Feedback' } as const

type Cast = (raw: unknown) => unknown

const oneOf =
  (...symbols: string[]): Cast =>
  raw => {
    if (symbols.includes(String(raw))) return raw
    throw new Error(`one of ${symbols.join(', ')} expected, "${raw}" found`)
  }
const text: Cast = raw => String(raw)
const number: Cast = raw => {
  const value = Number(raw)
  if (Number.isFinite(value)) return value
  throw new Error(`a number expected, "${raw}" found`)
}
const whole: Cast = raw => {
  const value = Math.round(number(raw) as number)
  if (value >= 0 && Number.isSafeInteger(value)) return value
  throw new Error(`a whole number from 0 expected, "${raw}" found`)
}
const yes: Cast = raw => raw === true || /^(true|1|yes)$/i.test(String(raw))

const common: Readonly<Record<string, Cast>> = {
  eventId: text,
  requestId: text,
  surface: text,
  cohort: text,
  consent: oneOf('full', 'contextual', 'none'),
}
const fieldsOf: Readonly<Record<ImportedEvent['kind'], Readonly<Record<string, Cast>>>> = {
  Watch: {
    ...common,
    playId: text,
    seq: whole,
    watchedMs: whole,
    durationMs: whole,
    endReason: oneOf('none', 'finished', 'skipped', 'left'),
  },
  Impression: {
    ...common,
    position: whole,
    slateSize: whole,
    policy: text,
    modelVersion: text,
    listVersion: text,
    listIndex: whole,
    candidateSource: oneOf(
      'popularity',
      'covisit',
      'knn',
      'embedding',
      'content',
      'explore',
      'other',
    ),
    score: number,
    propensity: number,
    explore: yes,
  },
  Feedback: {
    ...common,
    kind: oneOf('click', 'like', 'dislike', 'hide', 'share', 'save', 'follow', 'report', 'other'),
    value: number,
  },
}
/** What a row may carry besides fields of the records. */
const ofRows = ['userId', 'itemId', 'ts', 'rating', 'type', 'sessionId']

/** Errors: OPTION_INVALID for a mapped name that is no field of any event. */
export function checkFields(fields: Iterable<string>): void {
  const known = new Set([
    ...ofRows,
    ...Object.values(fieldsOf).flatMap(casts => Object.keys(casts)),
  ])
  for (const field of fields)
    if (!known.has(field) && !field.startsWith('context.'))
      throw new FreshetError(
        'OPTION_INVALID',
        `--map names the field ${field}; events have ${[...known].join(', ')} and context.KEY`,
      )
}

export interface EventMaker {
  readonly fields: ReadonlyMap<string, FieldSource>
  readonly positive: Condition
  /** The file's name, part of every event's id. */
  readonly source: string
}

/** The value of an event field in a row; undefined where the row has none. */
export function fieldOf(fields: EventMaker['fields'], row: Values, field: string): unknown {
  const from = fields.get(field)
  if (!from) return undefined
  const value = 'constant' in from ? from.constant : row[from.column]
  return value === '' || value === null ? undefined : value
}

/** Throws a plain Error with the reason where the row makes no event. */
export function eventOf(maker: EventMaker, row: Values, line: number, ts: number): ImportedEvent {
  const { fields } = maker
  const type = String(fieldOf(fields, row, 'type') ?? 'watch').toLowerCase()
  if (!Object.hasOwn(kinds, type))
    throw new Error(`type watch, impression or feedback expected, "${type}" found`)
  const kind = kinds[type as keyof typeof kinds]
  const hash = createHash('sha256').update(`${maker.source}\n${line}`).digest('hex')
  const record: Record<string, unknown> = {
    eventId: hash,
    userId: id(fields, row, 'userId'),
    itemId: id(fields, row, 'itemId'),
    ts,
    consent: 'full',
  }
  if (kind === 'Watch') Object.assign(record, watchOf(maker, row, hash))
  if (kind === 'Feedback') record.kind = 'click'
  const casts = fieldsOf[kind]
  const context: Record<string, string> = {}
  for (const field of fields.keys()) {
    const value = fieldOf(fields, row, field)
    if (value === undefined) continue
    if (field.startsWith('context.')) context[field.slice('context.'.length)] = String(value)
    else if (casts[field]) record[field] = cast(field, casts[field], value)
  }
  if (Object.keys(context).length > 0) record.context = context
  return { kind, record } as unknown as ImportedEvent
}

function watchOf(maker: EventMaker, row: Values, hash: string): Partial<WatchDraft> {
  const { fields } = maker
  const session = fieldOf(fields, row, 'sessionId')
  const playId = session === undefined ? hash.slice(0, 32) : `${session}/${hash.slice(0, 16)}`
  // a log that tells how long was watched says it itself; the mapped fields follow
  if (fields.has('watchedMs')) return { playId, watchedMs: 0 }
  if (maker.positive(row))
    return { playId, durationMs: 100_000, watchedMs: 100_000, endReason: 'finished' }
  const rating = Number(fieldOf(fields, row, 'rating') ?? 0)
  if (Number.isNaN(rating)) throw new Error('the rating is no number')
  const watchedMs = Math.round(Math.min(29_000, Math.max(0, rating) * 2900))
  return { playId, durationMs: 100_000, watchedMs, endReason: 'left' }
}

function id(fields: EventMaker['fields'], row: Values, field: string): string {
  const raw = fieldOf(fields, row, field)
  if (typeof raw === 'number' && Math.abs(raw) > Number.MAX_SAFE_INTEGER)
    throw new Error(
      `${field}: the number ${raw} is beyond 2^53, where JSON numbers are rounded and ids fall together; write it as text`,
    )
  const value = String(raw ?? '')
  const bytes = Buffer.byteLength(value)
  if (bytes < 1 || bytes > 256) throw new Error(`${field}: 1 to 256 bytes expected, ${bytes} found`)
  return value
}

function cast(field: string, to: Cast, raw: unknown): unknown {
  try {
    return to(raw)
  } catch (error) {
    throw new Error(`${field}: ${(error as Error).message}`)
  }
}
