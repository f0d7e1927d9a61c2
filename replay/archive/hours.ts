/** Which file a record falls in. */
const HOUR_MS = 3_600_000
/** A clock that goes ahead must not begin hours that have not come: such a record stays in the hour that runs. */
const MOST_AHEAD_MS = HOUR_MS
/** A file is cut at this much, uncompressed, so that whoever begins within one passes over no more. */
export const FILE_BYTES = 256 << 20

const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS) * HOUR_MS

/**
 * The hour of a record's file, as its beginning in ms: that of its timestamp, but never before the hour of the partition's
 * last file (`running`; undefined: it has none). So offsets are contiguous in every file, files follow each other in time, and a
 * record that comes late stands in the hour that ran when it was appended.
 */
export function fileHour(timestamp: number, running: number | undefined, now: number): number {
  const hour = hourOf(timestamp > now + MOST_AHEAD_MS ? (running ?? now) : Math.max(0, timestamp))
  return running === undefined ? hour : Math.max(hour, running)
}

/** `2026-11-30T10`, UTC. */
export const hourText = (hour: number): string => new Date(hour).toISOString().slice(0, 13)

export const hourMs = (text: string): number => Date.parse(`${text}:00:00Z`)

/** The end of the hour in ms. */
export const hourEnd = (text: string): number => hourMs(text) + HOUR_MS

/** `events/0/2026-11-30T10-0000000000001234.avro`; a later writing of the same file: `...-e1.avro`. */
export function pathOf(
  file: { readonly topic: string; readonly partition: number; readonly hour: string },
  from: number,
  rewritten = 0,
): string {
  const name = `${file.hour}-${String(from).padStart(16, '0')}${rewritten === 0 ? '' : `-e${rewritten}`}`
  return `${file.topic}/${file.partition}/${name}.avro`
}

/** How often the file of that path was written anew. */
export const rewritingOf = (path: string): number => Number(/-e(\d+)\.avro$/.exec(path)?.[1] ?? 0)

const units = { h: HOUR_MS, d: 24 * HOUR_MS } as const

/** `90d`, `36h` in ms; undefined where it is neither. */
export function spanMs(text: string): number | undefined {
  if (!/^[1-9]\d{0,5}[hd]$/.test(text)) return undefined
  return Number(text.slice(0, -1)) * units[text.at(-1) as keyof typeof units]
}
