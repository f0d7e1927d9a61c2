/** The ownership record, which opens every ownership of a task on its changelog (C2): who owns it from here on. */
import { FreshetError, messageOf } from '../errors.ts'
import type { FetchedBatch } from '../transport/port.ts'

/** Keys of the runtime's own records begin with 0, which no store may have as its number. */
export const OWNER_KEY = Buffer.from([0, 1])

/** `opensAt`: of the first one of a line of epochs, the offset at which alone it is in force. */
export interface OwnerRecord {
  readonly uuid: string
  readonly opensAt?: number
}

/** Errors: CHANGELOG_CORRUPT with `where` (topic-partition@offset). */
export function readOwnerRecord(value: Buffer, where: string): Partial<OwnerRecord> {
  try {
    const found = JSON.parse(value.toString()) as Record<string, unknown> | null
    const { uuid, opensAt } = Object(found) as Record<string, unknown>
    if (uuid !== undefined && typeof uuid !== 'string') throw new TypeError(`its uuid is ${uuid}`)
    if (opensAt !== undefined && !Number.isSafeInteger(opensAt))
      throw new TypeError(`it opens at ${opensAt}`)
    return found as Partial<OwnerRecord>
  } catch (error) {
    throw new FreshetError(
      'CHANGELOG_CORRUPT',
      `${where}: the ownership record can't be read (${messageOf(error)}); restore the topic from its replicas, or begin anew with \`freshet reset\``,
      error,
    )
  }
}

/** The token of the ownership that the batch opens; undefined where it opens none in force. */
export function tokenIn(batch: FetchedBatch): number | undefined {
  const first = batch.records[0]
  if (!first?.key?.equals(OWNER_KEY) || !first.value) return undefined
  const where = `${batch.topic}-${batch.partition}@${first.offset}`
  const { uuid, opensAt } = readOwnerRecord(first.value, where)
  return uuid === undefined || (opensAt ?? first.offset) !== first.offset ? undefined : first.offset
}
