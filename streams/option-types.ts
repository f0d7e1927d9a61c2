/** Option value types that several parts share. */
import { z } from 'zod'

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds, from `500ms`, `10s`, `5m`, `1h`, `7d` or a plain number of ms. */
export const duration = (): z.ZodType<number> =>
  z.union([z.number(), z.string()]).transform((given, ctx) => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(String(given).trim())
    if (match) return Number(match[1]) * (unitMs[match[2] ?? 'ms'] ?? 1)
    ctx.addIssue({ code: 'custom', message: 'not a duration' })
    return z.NEVER
  })

export const durationTakes = 'a duration such as 500ms, 10s, 5m, 1h or 7d'

/** true/false from flags and variables: true, false, 1, 0, yes, no. */
export const flag = (): z.ZodType<boolean> =>
  z
    .union([z.boolean(), z.enum(['true', 'false', '1', '0', 'yes', 'no'])])
    .transform(given => given === true || given === 'true' || given === '1' || given === 'yes')

export const flagTakes = 'true or false'
