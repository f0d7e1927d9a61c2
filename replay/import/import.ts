/**
 * A public log as events, in order of event time whatever the file's order (CONTRACT 4 and 5). Rows of equal time keep the
 * file's order. The file and 20 bytes a row are held in memory while it is read, so a file may have up to 2 GiB; a row is
 * made into an event only when it is its turn.
 */
import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { ItemDraft, WatchDraft } from '../../schemas/index.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { isPositive } from '../../topologies/sessions/outcome.ts'
import { readCatalog } from './catalog.ts'
import { checkFields, eventOf, fieldOf, type ImportedEvent } from './events.ts'
import { type Condition, parseCondition, type Values } from './expression.ts'
import { type Format, type RowReader, rowReader } from './formats.ts'
import { type Cut, cutRecords } from './lines.ts'
import { commonForm, type TimeForm, timeMs } from './times.ts'

export interface ImportOptions {
  readonly format: Format
  /** Event field to column, of csv and jsonl; see `parseMap`. Absent: columns have the fields' names. */
  readonly map?: Readonly<Record<string, string>>
  /** Which rows are positive; absent: rating >= 8 of 10 or 4 of 5; every row where there are no ratings. */
  readonly positive?: string
  /** Between the cells of a csv; a comma by default. */
  readonly delimiter?: string
  /** Added to every time: logs from before 2000 are not taken as they are. */
  readonly shiftMs?: number
}

export type ImportedRecord =
  | (ImportedEvent & { readonly topic: 'events'; readonly key: string })
  | {
      readonly topic: 'items'
      readonly key: string
      readonly kind: 'Item'
      readonly record: ItemDraft
    }

export interface BadLine {
  readonly file: string
  readonly line: number
  readonly reason: string
}

export interface ImportedLog {
  readonly events: number
  readonly items: number
  /** Lines that make no event, in order; they are left out. Exit code 3 where there are any. */
  readonly bad: readonly BadLine[]
  /** How the times were read, to be said. */
  readonly times: TimeForm
  /** What counts as positive, to be said. */
  readonly positive: string
  /** First and last event time, ms. */
  readonly from: number
  readonly to: number
  /** Items first, then events by time. Can be gone through more than once. */
  records(): Generator<ImportedRecord>
  /** Its positive plays alone, by time, ended finished. Can be gone through more than once. */
  positives(): Generator<WatchDraft>
}

const year2000Ms = Date.UTC(2000, 0, 1)
const largestBytes = 2 ** 31 - 1

/**
 * Errors: CALL_INVALID where the file is missing, too large or without a single row that makes an event; OPTION_INVALID
 * for the map or the condition.
 */
export function importLog(file: string, options: ImportOptions): ImportedLog {
  const bytes = readWhole(file)
  // the same rows have the same ids, packed or not
  const source = basename(file).replace(/\.gz$/, '')
  checkShift(options.shiftMs)
  const { format } = options
  const delimiter = delimiterOf(options.delimiter)
  const cut = cutRecords(bytes, format === 'csv' || format === 'movielens', delimiter)
  const textOf = (i: number): string => bytes.toString('utf8', cut.starts[i], cut.ends[i])
  if (cut.starts.length === 0) throw nothingIn(file, [])
  const reader = rowReader(format, textOf(0), options.map, delimiter)
  checkMapped(reader, options)
  const form = commonForm(sampleOf(reader, cut, textOf))
  const { text: positive, condition } = positiveOf(reader, options, cut, textOf)
  const maker = { fields: reader.fields, positive: condition, source }

  const rowAt = (i: number): Values => reader.read(textOf(i))
  const eventAt = (i: number, row = rowAt(i)): ImportedEvent => {
    const raw = fieldOf(reader.fields, row, 'ts')
    const ms = form && timeMs(raw, form)
    if (ms === undefined)
      throw new Error(`ts: a time in ${form ?? 'some known form'} expected, "${raw ?? ''}" found`)
    const ts = ms + (options.shiftMs ?? 0)
    if (ts < year2000Ms)
      throw new Error(
        `ts: ${new Date(ts).toISOString()} is before 2000, which is not taken; --shift moves all times`,
      )
    return eventOf(maker, row, cut.lines[i], ts)
  }

  const catalog =
    options.format === 'csv' || options.format === 'jsonl'
      ? { items: [], bad: [] }
      : readCatalog(file)
  const bad: BadLine[] = [...catalog.bad]
  const good: number[] = []
  const times = new Float64Array(cut.starts.length)
  for (let i = reader.headerRecords; i < cut.starts.length; i++) {
    try {
      times[i] = eventAt(i).record.ts
      good.push(i)
    } catch (error) {
      const swallowed = textOf(i).trimEnd().split('\n').length - 1
      const reason = messageOf(error)
      bad.push({
        file: source,
        line: cut.lines[i],
        reason: swallowed > 0 ? `${reason}, and takes ${swallowed} more with it` : reason,
      })
    }
  }
  if (form === undefined || good.length === 0) throw nothingIn(file, bad)
  const order = Uint32Array.from(good).sort((a, b) => times[a] - times[b] || a - b)

  return {
    events: order.length,
    items: catalog.items.length,
    bad,
    times: form,
    positive,
    from: times[order[0]],
    to: times[order[order.length - 1]],
    *records() {
      for (const record of catalog.items)
        yield { topic: 'items', kind: 'Item', key: record.itemId, record }
      for (const i of order) {
        const event = eventAt(i)
        yield { topic: 'events', key: event.record.userId, ...event }
      }
    },
    *positives() {
      // without a condition, a log that tells how long was watched is judged as any watch is
      const byTime = options.positive === undefined && reader.fields.has('watchedMs')
      for (const i of order) {
        const row = rowAt(i)
        if (!byTime && !condition(row)) continue
        const { kind, record } = eventAt(i, row)
        if (kind !== 'Watch') continue
        const { watchedMs, durationMs = 0, endReason = 'none' } = record
        if (byTime && !isPositive(watchedMs, durationMs, endReason)) continue
        yield { ...record, endReason: 'finished' }
      }
    },
  }
}

function readWhole(file: string): Buffer {
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined)
    throw new FreshetError('CALL_INVALID', `there is no file ${file} to import`)
  if (found.isDirectory())
    throw new FreshetError('CALL_INVALID', `${file} is a folder; name the file in it`)
  if (found.size > largestBytes) throw tooLarge(file, `${found.size} bytes`)
  const bytes = readFileSync(file)
  const text = startsWith(bytes, 0x1f, 0x8b) ? unpacked(file, bytes) : bytes
  checkText(file, text)
  return text
}

function unpacked(file: string, bytes: Buffer): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: largestBytes })
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE')
      throw tooLarge(file, 'more, unpacked')
    throw new FreshetError(
      'CALL_INVALID',
      `${file} begins as gzip and can't be unpacked: ${messageOf(error)}`,
      error,
    )
  }
}

const tooLarge = (file: string, size: string): FreshetError =>
  new FreshetError(
    'CALL_INVALID',
    `${file} has ${size}; up to ${largestBytes} bytes can be sorted in memory: sort it by time and cut it into parts`,
  )

const startsWith = (bytes: Buffer, ...first: number[]): boolean =>
  first.every((byte, i) => bytes[i] === byte)

/** Errors: CALL_INVALID for what is no text of lines: every row would be bad for a reason that says nothing. */
function checkText(file: string, bytes: Buffer): void {
  const wide = startsWith(bytes, 0xff, 0xfe) || startsWith(bytes, 0xfe, 0xff)
  const isBinary = bytes.subarray(0, 4096).includes(0)
  if (wide || isBinary)
    throw new FreshetError(
      'CALL_INVALID',
      `${file} is ${wide ? 'UTF-16 text' : 'no text'}; UTF-8 text is read, as it is or as gzip${wide ? `: iconv -f UTF-16 -t UTF-8 ${file}` : ''}`,
    )
}

/** A shell gives `'\\t'` as two characters. */
function delimiterOf(given = ','): string {
  if (given === '')
    throw new FreshetError(
      'CALL_INVALID',
      "--delimiter got nothing; it takes a text such as ';' or '\\t'",
    )
  return given === '\\t' ? '\t' : given
}

function checkShift(shiftMs: number | undefined): void {
  if (shiftMs !== undefined && !Number.isSafeInteger(shiftMs))
    throw new FreshetError('CALL_INVALID', '--shift takes a whole number of ms, such as 86400000')
}

function checkMapped(reader: RowReader, options: ImportOptions): void {
  if (options.map || options.format === 'jsonl') checkFields(reader.fields.keys())
  for (const field of ['userId', 'itemId', 'ts'])
    if (!reader.fields.has(field))
      throw new FreshetError(
        'OPTION_INVALID',
        `no column is the event's ${field}; say which with --map ${field}=COLUMN${reader.columns ? ` (the file has ${reader.columns.join(', ')})` : ''}`,
      )
}

/** The raw times of the first rows. */
function* sampleOf(reader: RowReader, cut: Cut, textOf: (i: number) => string): Generator<unknown> {
  const to = Math.min(cut.starts.length, reader.headerRecords + 1000)
  for (const row of readable(reader, reader.headerRecords, to, textOf))
    yield fieldOf(reader.fields, row, 'ts')
}

function* readable(reader: RowReader, from: number, to: number, textOf: (i: number) => string) {
  for (let i = from; i < to; i++) {
    let row: ReturnType<RowReader['read']>
    try {
      row = reader.read(textOf(i))
    } catch {
      continue // counted as a bad line in the main pass
    }
    yield row
  }
}

function positiveOf(
  reader: RowReader,
  options: ImportOptions,
  cut: Cut,
  textOf: (i: number) => string,
): { text: string; condition: Condition } {
  const rating = reader.fields.get('rating')
  const ratingColumn = rating && 'column' in rating ? rating.column : undefined
  if (options.positive !== undefined) {
    const named = reader.columns && [...reader.columns, ...reader.fields.keys()]
    const condition = parseCondition(options.positive, named)
    const withFields: Condition = row => condition({ ...row, ...fieldsByName(reader, row) })
    return { text: options.positive, condition: withFields }
  }
  if (ratingColumn === undefined) return { text: 'every row', condition: () => true }
  let least = reader.positiveRating
  if (least === undefined) {
    let most = Number.NEGATIVE_INFINITY
    for (const row of readable(reader, reader.headerRecords, cut.starts.length, textOf))
      most = Math.max(most, Number(row[ratingColumn] ?? Number.NaN) || 0)
    if (most <= 0) return { text: 'every row', condition: () => true }
    least = most > 5 ? 8 : 4
  }
  const bound = least
  return { text: `rating >= ${bound}`, condition: row => Number(row[ratingColumn]) >= bound }
}

/** So that a condition may say `rating` whatever the column is called. */
function fieldsByName(reader: RowReader, row: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(
    [...reader.fields.keys()].map(field => [field, fieldOf(reader.fields, row, field)]),
  )
}

function nothingIn(file: string, bad: readonly BadLine[]): FreshetError {
  const first = bad[0] ? `; line ${bad[0].line}: ${bad[0].reason}` : ' (it has no rows)'
  return new FreshetError('CALL_INVALID', `no row of ${file} makes an event${first}`)
}
