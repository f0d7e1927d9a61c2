/** What a replay's folder says of it to someone who looks on. */
import { type LockHolder, lockHolder } from '../../replay/archive/lock.ts'
import type { ReplayFolder, ReplayStatus } from '../../replay/shadow/folder.ts'

export interface Look extends ReplayStatus {
  readonly name: string
  /** The process that runs it. */
  readonly holder: LockHolder | undefined
}

const NEVER: Omit<ReplayStatus, 'state' | 'error'> = {
  at: 0,
  pid: 0,
  position: null,
  total: 0,
  records: 0,
  deadLetters: 0,
  rate: 0,
  held: null,
}

/** One that says that it runs, and whose process is gone, has failed. Errors: CALL_INVALID where there is none. */
export function lookAt(folder: ReplayFolder): Look {
  const { name } = folder
  const { created, ranges } = folder.spec()
  const holder = lockHolder(folder.dir)
  const status = folder.status()
  const total = Object.values(ranges)
    .flat()
    .reduce((sum, [from, to]) => sum + to - from, 0)
  const base: ReplayStatus = status ?? {
    ...NEVER,
    at: created,
    total,
    state: 'running',
    error: null,
  }
  if (base.state !== 'running' || holder !== undefined)
    return { ...base, name, holder, held: base.state === 'running' ? base.held : null }
  const error =
    status === undefined
      ? 'it ended before its first checkpoint'
      : `its process ${base.pid} is gone: it was killed, or the machine went down`
  // what came after the last checkpoint is done again
  const { records, deadLetters } = folder.checkpoint()?.counts ?? { records: 0, deadLetters: 0 }
  return {
    ...base,
    records,
    deadLetters,
    rate: 0,
    state: 'failed',
    held: null,
    error,
    name,
    holder,
  }
}

export const goesOn = (name: string): string => `\`freshet replay resume ${name}\` goes on with it`
