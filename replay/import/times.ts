/** Which form the times of a log have: found out once per file from its rows, and said. */
import { isoTime } from '../../schemas/index.ts'

export type TimeForm = 'iso-8601' | 'seconds' | 'milliseconds' | 'microseconds'

const numeric = /^\d+(\.\d+)?$/

/** By magnitude: below 10^11 seconds (until the year 5138), below 10^14 milliseconds (from 1973), above microseconds. */
export function formOf(raw: unknown): TimeForm | undefined {
  const text = String(raw ?? '').trim()
  if (numeric.test(text)) {
    const value = Number(text)
    return value < 1e11 ? 'seconds' : value < 1e14 ? 'milliseconds' : 'microseconds'
  }
  return isoMs(text) === undefined ? undefined : 'iso-8601'
}

/** The form that most of the given values have. */
export function commonForm(raws: Iterable<unknown>): TimeForm | undefined {
  const counts = new Map<TimeForm, number>()
  for (const raw of raws) {
    const form = formOf(raw)
    if (form) counts.set(form, (counts.get(form) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0]
}

/** ms since 1970, or undefined where the value does not have this form. */
export function timeMs(raw: unknown, form: TimeForm): number | undefined {
  const text = String(raw ?? '').trim()
  if (form === 'iso-8601') return isoMs(text)
  if (!numeric.test(text)) return undefined
  const value = Number(text)
  if (form === 'seconds') return Math.round(value * 1000)
  return Math.round(form === 'milliseconds' ? value : value / 1000)
}

/** ISO-8601; a blank for the T is taken, and without a zone it is UTC. */
function isoMs(text: string): number | undefined {
  const day = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text.replace(' ', 'T')
  return isoTime(/(Z|[+-]\d{2}:?\d{0,2})$/i.test(day.slice(11)) ? day : `${day}Z`)
}
