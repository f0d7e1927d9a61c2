/** Runs schedules by the thousand, and says what a failing one needs to be seen again. */
import { type Options, type Outcome, runSchedule } from './world.ts'

export interface Totals {
  schedules: number
  events: number
  commits: number
  takeovers: number
  strikes: number
  virtualMs: number
}

/** Seeds asked for: FRESHET_SEED=123, or FRESHET_SEEDS=from:count; else `from` and `count`. */
export function askedSeeds(from: number, count: number): { from: number; count: number } {
  const { FRESHET_SEED: one, FRESHET_SEEDS: range } = process.env
  if (one !== undefined) return { from: Number(one), count: 1 }
  if (range === undefined) return { from, count }
  const [first, n] = range.split(':').map(Number)
  return { from: first, count: n }
}

/**
 * Runs seeds `part`, `part` + `parts`, ... of the range, and stops at the first that fails: throws with its seed, what was
 * wrong, and the end of its trace, taken from a second run.
 */
export async function runSeeds(
  { from, count }: { from: number; count: number },
  { part = 0, parts = 1, ...options }: Options & { part?: number; parts?: number } = {},
): Promise<Totals> {
  const totals = { schedules: 0, events: 0, commits: 0, takeovers: 0, strikes: 0, virtualMs: 0 }
  for (let seed = from + part; seed < from + count; seed += parts) {
    const outcome = await runSchedule(seed, options)
    if (outcome.failure !== undefined) throw new Error(await report(outcome, options))
    totals.schedules++
    totals.events += outcome.events
    totals.commits += outcome.commits
    totals.takeovers += outcome.takeovers
    totals.strikes += outcome.strikes
    totals.virtualMs += outcome.virtualMs
  }
  return totals
}

async function report(failed: Outcome, options: Options): Promise<string> {
  const { trace, hash } = await runSchedule(failed.seed, { ...options, trace: true })
  const shown = process.env.FRESHET_SEED === undefined ? trace.slice(-60) : trace
  const replays = hash === failed.hash ? 'it replays exactly' : 'IT DID NOT REPLAY EXACTLY'
  return `seed ${failed.seed}: ${failed.failure}
trace (${replays}; the whole of it: FRESHET_SEED=${failed.seed} npx vitest run test/simulation/schedules):
${shown.join('\n')}`
}

/** How many schedules it takes until one fails; undefined where none of `limit` does. */
export async function schedulesUntilFailure(
  from: number,
  limit: number,
  options: Options,
): Promise<{ schedules: number; seed: number; failure: string } | undefined> {
  for (let i = 0; i < limit; i++) {
    const { failure, seed } = await runSchedule(from + i, options)
    if (failure !== undefined) return { schedules: i + 1, seed, failure }
  }
  return undefined
}
