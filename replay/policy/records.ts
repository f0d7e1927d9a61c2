/** A CSV or JSONL file as rows of named values: what evaluation reads logs and tables of chances from. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { csvCells, cutRecords } from '../import/lines.ts'

export interface Records {
  readonly columns: ReadonlySet<string>
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** JSONL where the first line begins with `{`, else CSV with a head. Errors: CALL_INVALID with the file and the line. */
export function readRecords(file: string): Records {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = gunzipSync(bytes)
  } catch (error) {
    throw new FreshetError('CALL_INVALID', `${file} can't be read: ${messageOf(error)}`, error)
  }
  const isJson = bytes.subarray(0, 64).toString('utf8').trimStart().startsWith('{')
  const cut = cutRecords(bytes, !isJson)
  const textOf = (i: number): string => bytes.toString('utf8', cut.starts[i], cut.ends[i])
  if (cut.starts.length === 0) throw new FreshetError('CALL_INVALID', `${file} is empty`)
  const head = isJson ? [] : csvCells(textOf(0), ',').map(cell => cell.trim())
  const columns = new Set(head)
  const rows: Record<string, unknown>[] = []
  for (let i = isJson ? 0 : 1; i < cut.starts.length; i++) {
    try {
      rows.push(isJson ? jsonRow(textOf(i)) : csvRow(textOf(i), head))
    } catch (error) {
      throw new FreshetError(
        'CALL_INVALID',
        `${file}, line ${cut.lines[i]}: ${messageOf(error)}`,
        error,
      )
    }
  }
  if (isJson) for (const row of rows) for (const name of Object.keys(row)) columns.add(name)
  return { columns, rows }
}

function jsonRow(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('a JSON object is expected')
  return value as Record<string, unknown>
}

function csvRow(text: string, head: readonly string[]): Record<string, unknown> {
  const cells = csvCells(text, ',')
  if (cells.length !== head.length)
    throw new Error(`${head.length} columns expected, ${cells.length} found`)
  return Object.fromEntries(head.map((name, i) => [name, cells[i].trim()]))
}

/** The first of the names that the file has; undefined: none. `map`: by name, which column it is. */
export function columnOf(
  columns: ReadonlySet<string>,
  names: readonly string[],
  map: Readonly<Record<string, string>> = {},
): string | undefined {
  const mapped = map[names[0]]
  if (mapped === undefined) return names.find(name => columns.has(name))
  if (!columns.has(mapped))
    throw new FreshetError(
      'CALL_INVALID',
      `--map names the column ${mapped}; the file has ${[...columns].join(', ')}`,
    )
  return mapped
}

/** null: nothing stands there. NaN: something that is no number. */
export function numberOf(value: unknown): number | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'boolean') return value ? 1 : 0
  return typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN
}
