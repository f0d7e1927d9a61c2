/** Who holds what only one process of a machine may hold: its pid, and when it started, as a pid may be given anew. */
import { readFileSync } from 'node:fs'

export interface ProcessIdentity {
  readonly pid: number
  /** In kernel ticks; '' where there is no /proc to tell it. */
  readonly startedAt: string
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, startedAt: startOf(process.pid) ?? '' }
}

/** Does that process of this machine still run, under whatever user? */
export function isRunning({ pid, startedAt }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, under another user
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const found = startOf(pid)
  return found === undefined || startedAt === '' || found === startedAt
}

/** Field 22 of /proc/<pid>/stat; undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // the process' name, in brackets, may hold blanks
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
