/** A log file cut into records, and a record into its columns. Plain functions over bytes and text. */

/** Where each record begins and ends (bytes), and its first line's number from 1. Empty lines are left out. */
export interface Cut {
  readonly starts: number[]
  readonly ends: number[]
  readonly lines: number[]
}

const newline = 10
const quote = 34

/**
 * `quoted`: a line break within "..." belongs to the record, as in CSV (RFC 4180). Only a quote that begins a cell opens:
 * `5" disk` is text, and would else take all lines up to the next quote with it.
 */
export function cutRecords(bytes: Buffer, quoted: boolean, delimiter = ','): Cut {
  const cut: Cut = { starts: [], ends: [], lines: [] }
  const between = Buffer.from(delimiter).at(-1)
  let start = bytes.length >= 3 && bytes.readUIntBE(0, 3) === 0xefbbbf ? 3 : 0 // byte order mark
  let line = 1
  let first = 1
  let inside = false
  const hasQuotes = quoted && bytes.includes(quote)
  const record = (end: number): void => {
    const to = end > start && bytes[end - 1] === 13 ? end - 1 : end
    if (to > start) {
      cut.starts.push(start)
      cut.ends.push(to)
      cut.lines.push(first)
    }
    start = end + 1
    first = line + 1
  }
  if (!hasQuotes) {
    for (let end = bytes.indexOf(newline, start); end >= 0; end = bytes.indexOf(newline, start)) {
      record(end)
      line++
    }
  } else {
    for (let i = start; i < bytes.length; i++) {
      if (bytes[i] === quote) {
        if (!inside) inside = i === start || bytes[i - 1] === between
        else if (bytes[i + 1] === quote) i++
        else inside = false
      } else if (bytes[i] === newline) {
        if (!inside) record(i)
        line++
      }
    }
  }
  if (start < bytes.length) record(bytes.length)
  return cut
}

/** The cells of one CSV record: quoted cells may hold the delimiter, line breaks and doubled quotes. */
export function csvCells(record: string, delimiter: string): string[] {
  if (!record.includes('"')) return record.split(delimiter)
  const cells: string[] = []
  let at = 0
  for (;;) {
    if (record[at] === '"') {
      let cell = ''
      let end = at + 1
      for (;;) {
        const close = record.indexOf('"', end)
        if (close < 0) throw new Error('a quote is not closed')
        cell += record.slice(end, close)
        if (record[close + 1] !== '"') {
          at = close + 1
          break
        }
        cell += '"'
        end = close + 2
      }
      cells.push(cell)
      if (at < record.length && !record.startsWith(delimiter, at))
        throw new Error('something stands behind a closing quote')
    } else {
      const end = record.indexOf(delimiter, at)
      cells.push(end < 0 ? record.slice(at) : record.slice(at, end))
      at = end < 0 ? record.length : end
    }
    if (at >= record.length) return cells
    at += delimiter.length
    if (at === record.length) return [...cells, '']
  }
}
