/** The log formats: which columns a record has, and which of them are the event's fields. */
import { FreshetError } from '../../streams/errors.ts'
import type { Values } from './expression.ts'
import { csvCells } from './lines.ts'

export const formats = ['movietweetings', 'movielens', 'csv', 'jsonl'] as const
export type Format = (typeof formats)[number]

/** A field is a column's value, or a constant. */
export type FieldSource = { readonly column: string } | { readonly constant: string }

export interface RowReader {
  /** How many records at the top are no rows. */
  readonly headerRecords: number
  /** Column names where the format tells them. */
  readonly columns?: readonly string[]
  /** Throws a plain Error with the reason where the record can't be read. */
  read(record: string): Values
  /** Event field to where it comes from. */
  readonly fields: ReadonlyMap<string, FieldSource>
  /** The rating a row must have to be positive, where the format fixes the scale. */
  readonly positiveRating?: number
}

const ratingColumns = ['userId', 'itemId', 'rating', 'ts']

/** `firstRecord`: the first of the file, by which the variants are told apart. */
export function rowReader(
  format: Format,
  firstRecord: string,
  map: Readonly<Record<string, string>> | undefined,
  delimiter: string,
): RowReader {
  switch (format) {
    case 'movietweetings':
      return { ...separated('::'), positiveRating: 8 }
    case 'movielens':
      if (firstRecord.includes('::')) return { ...separated('::'), positiveRating: 4 }
      if (firstRecord.includes('\t')) return { ...separated('\t'), positiveRating: 4 }
      checkMovielens(firstRecord)
      return {
        ...csvReader(
          firstRecord,
          { userId: 'userId', itemId: 'movieId', rating: 'rating', ts: 'timestamp' },
          ',',
        ),
        positiveRating: 4,
      }
    case 'csv':
      return csvReader(firstRecord, map, delimiter)
    case 'jsonl':
      return {
        headerRecords: 0,
        read: jsonRow,
        fields: sources(map ?? { userId: 'userId', itemId: 'itemId', ts: 'ts', rating: 'rating' }),
      }
  }
}

function checkMovielens(firstRecord: string): void {
  const found = csvCells(firstRecord, ',').map(cell => cell.trim())
  const missing = ['userId', 'movieId', 'rating', 'timestamp'].filter(name => !found.includes(name))
  if (missing.length > 0)
    throw new FreshetError(
      'OPTION_INVALID',
      `a MovieLens ratings.csv begins with userId,movieId,rating,timestamp; the first line of this file has ${firstRecord}: for other columns, --format csv --map userId=COLUMN,itemId=COLUMN,ts=COLUMN,rating=COLUMN (#1, #2 and so on where it names none)`,
    )
}

function separated(separator: string): RowReader {
  return {
    headerRecords: 0,
    columns: ratingColumns,
    read: record => {
      const cells = record.split(separator)
      if (cells.length !== 4) throw new Error(`4 columns expected, ${cells.length} found`)
      return { userId: cells[0], itemId: cells[1], rating: cells[2], ts: cells[3] }
    },
    fields: sources(Object.fromEntries(ratingColumns.map(name => [name, name]))),
  }
}

/** Columns by the names of the first record, or by number (`userId=#1`) in a file without such a record. */
function csvReader(
  firstRecord: string,
  map: Readonly<Record<string, string>> | undefined,
  delimiter: string,
): RowReader {
  const cells = csvCells(firstRecord, delimiter).map(cell => cell.trim())
  const fields = sources(map ?? Object.fromEntries(cells.map(name => [name, name])))
  const named = [...fields.values()].flatMap(from => ('column' in from ? [from.column] : []))
  const byNumber = named.length > 0 && named.every(name => /^#\d+$/.test(name))
  const columns = byNumber ? cells.map((_, i) => `#${i + 1}`) : cells
  for (const name of named)
    if (!columns.includes(name))
      throw new FreshetError(
        'OPTION_INVALID',
        `--map names the column ${name}; the file has ${columns.join(', ')}${hint(columns, delimiter)}`,
      )
  return {
    headerRecords: byNumber ? 0 : 1,
    columns,
    fields,
    read: record => {
      const values = csvCells(record, delimiter)
      if (values.length !== columns.length)
        throw new Error(`${columns.length} columns expected, ${values.length} found`)
      return Object.fromEntries(columns.map((name, i) => [name, values[i]]))
    },
  }
}

/** What a first line without the named columns may be. */
function hint(columns: readonly string[], delimiter: string): string {
  const other = [';', '\t', '|'].find(text => text !== delimiter && columns[0].includes(text))
  if (columns.length === 1 && other !== undefined)
    return `: parted by ${JSON.stringify(other)}? --delimiter says so`
  const number = columns.findIndex(name => name !== '' && !Number.isNaN(Number(name)))
  return number < 0
    ? ''
    : `: it names no columns, as it holds ${columns[number]}? They are #1, #2 and so on then: --map userId=#1,itemId=#2,ts=#3`
}

function jsonRow(record: string): Values {
  const value: unknown = JSON.parse(record)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('a JSON object is expected')
  return value as Values
}

function sources(map: Readonly<Record<string, string>>): Map<string, FieldSource> {
  return new Map(
    Object.entries(map).map(([field, from]) => {
      const constant = /^'(.*)'$/.exec(from)
      return [field, constant ? { constant: constant[1] } : { column: from }]
    }),
  )
}

/** `userId=user,itemId=item,type='impression'` to an object. Errors: OPTION_INVALID. */
export function parseMap(text: string): Record<string, string> {
  const map: Record<string, string> = {}
  for (const part of text.split(',')) {
    const at = part.indexOf('=')
    if (at < 1 || at === part.length - 1)
      throw new FreshetError(
        'OPTION_INVALID',
        `--map got "${part}"; it takes FIELD=COLUMN,... (a column's name, #NUMBER in a file without names, or 'constant')`,
      )
    map[part.slice(0, at).trim()] = part.slice(at + 1).trim()
  }
  return map
}
