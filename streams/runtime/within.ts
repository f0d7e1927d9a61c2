import type { Clock } from '../clock.ts'

/** Waits for `work`, at most `ms`; false where it is still under way. Errors: those of `work`. */
export async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> {
  const done = new AbortController()
  try {
    return await Promise.race([
      work.then(() => true),
      clock.sleep(ms, done.signal).then(() => false),
    ])
  } finally {
    done.abort()
  }
}
