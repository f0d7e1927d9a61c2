/** What a person sees: colour where standard output is a terminal, tables, bars and progress. */
import { styleText } from 'node:util'

type Colour = 'green' | 'red' | 'yellow' | 'cyan' | 'dim' | 'bold'

const coloured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined

export function paint(colour: Colour, text: string): string {
  return coloured ? styleText(colour, text) : text
}

/** Columns aligned; numbers to the right. The first row is the head. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map(row => row.map(cell => (typeof cell === 'number' ? count(cell) : cell)))
  const widths = cells[0].map((_, i) => Math.max(...cells.map(row => row[i].length)))
  return cells
    .map((row, r) => {
      const line = row
        .map((cell, i) =>
          typeof rows[Math.min(1, rows.length - 1)][i] === 'number'
            ? cell.padStart(widths[i])
            : cell.padEnd(widths[i]),
        )
        .join('  ')
        .trimEnd()
      return r === 0 ? paint('bold', line) : line
    })
    .join('\n')
}

export function count(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en-US') : value.toPrecision(3)
}

/** `1 watch`, `2 watches`. */
export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`

/** A decayed count; what is left of hardly anything is nothing. */
export const decayedText = (value: number): string => (value < 1e-6 ? '0' : value.toPrecision(3))

/** A length of time that somebody chose, such as a half-life, in one unit. */
export function spanText(ms: number): string {
  const hours = ms / 3_600_000
  return hours < 1 ? `${Math.round(hours * 60)}min` : hours < 48 ? `${hours}h` : `${hours / 24}d`
}

export function bar(share: number, width = 24): string {
  const filled = Math.round(Math.max(0, Math.min(1, share)) * width)
  return '█'.repeat(filled) + '░'.repeat(width - filled)
}

export function durationText(ms: number): string {
  if (!Number.isFinite(ms)) return '?'
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const minutes = Math.round(ms / 60_000)
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** To the second, UTC. */
export const time = (ms: number): string =>
  new Date(ms).toISOString().slice(0, 19).replace('T', ' ')

const DAY = 86_400_000

export function ago(ms: number, now: number): string {
  if (ms <= 0) return 'never'
  const age = Math.max(0, now - ms)
  return `${age < 2 * DAY ? durationText(age) : `${Math.floor(age / DAY)} days`} ago`
}

export const percent = (p: number): string =>
  p > 0 && p < 0.000_01 ? 'under 0.001%' : `${(100 * p).toPrecision(3)}%`

export const signed = (x: number): string => `${x < 0 ? '-' : '+'}${Math.abs(x).toFixed(3)}`

export function bytes(n: number): string {
  if (n < 10_000) return `${n} B`
  if (n < 10_000_000) return `${Math.round(n / 1_000)} KB`
  return n < 10_000_000_000 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(1)} GB`
}

/** Progress of long work on standard error: a bar on a terminal, a line every 10 s otherwise. */
export class Progress {
  private readonly what: string
  private readonly startedAt = Date.now()
  private lastAt = 0

  constructor(what: string) {
    this.what = what
  }

  /** `total` undefined: not known beforehand. */
  update(done: number, total?: number): void {
    const now = Date.now()
    const live = process.stderr.isTTY === true
    if (now - this.lastAt < (live ? 100 : 10_000)) return
    this.lastAt = now
    const line = this.line(done, total)
    process.stderr.write(live ? `\r\x1b[K${line}` : `${line}\n`)
  }

  end(done: number): void {
    const line = `${this.what}: ${count(done)} in ${durationText(Date.now() - this.startedAt)}`
    process.stderr.write(process.stderr.isTTY === true ? `\r\x1b[K${line}\n` : `${line}\n`)
  }

  private line(done: number, total?: number): string {
    const seconds = Math.max(0.001, (Date.now() - this.startedAt) / 1000)
    const rate = `${count(Math.round(done / seconds))}/s`
    if (total === undefined) return `${this.what}: ${count(done)} (${rate})`
    const left = done > 0 ? ((total - done) * seconds * 1000) / done : Number.NaN
    return `${this.what}: ${bar(done / total)} ${count(done)} of ${count(total)} (${rate}, ${durationText(left)} left)`
  }
}
