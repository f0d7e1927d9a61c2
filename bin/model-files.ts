/** Files that `freshet models` is given. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { FreshetError, messageOf } from '../streams/errors.ts'
import type { Golden } from '../topologies/models/check.ts'

/** Errors: CALL_INVALID where it can't be read. */
export function readBytes(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new FreshetError('CALL_INVALID', `${file} can't be read: ${messageOf(error)}`, error)
  }
}

const goldenShape = z.strictObject({
  features: z.array(z.string()).optional(),
  rows: z.array(z.array(z.number())),
  outputs: z.array(z.number()),
})

/** Errors: CALL_INVALID where it can't be read or is no golden batch. */
export function readGolden(file: string): Golden {
  const takes =
    'it takes {"rows": [[...], ...], "outputs": [...]} and, where wanted, "features": [names of the columns]'
  let given: unknown
  try {
    given = JSON.parse(readBytes(file).toString('utf8'))
  } catch (error) {
    if (error instanceof FreshetError) throw error
    throw new FreshetError(
      'CALL_INVALID',
      `--golden ${file} is no JSON (${messageOf(error)}); ${takes}`,
      error,
    )
  }
  const parsed = goldenShape.safeParse(given)
  if (parsed.success) return parsed.data
  const [{ path, message }] = parsed.error.issues
  throw new FreshetError(
    'CALL_INVALID',
    `--golden ${file}: ${path.join('.') || 'it'}: ${message}; ${takes}`,
  )
}
