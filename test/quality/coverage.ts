/**
 * `npm run quality -- coverage`: how often intervals of policy evaluation hold the true value, over many logs of a world whose
 * truth is known (slate-world.ts). Logs in which the effective sample size is under 1,000 or a weight over 50 are counted apart.
 */
import { parseArgs } from 'node:util'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import {
  bernsteinLower,
  bootstrapIntervals,
  type Interval,
  normalInterval,
} from '../../topologies/evaluation/estimators/intervals.ts'
import { sumSlates } from '../../topologies/evaluation/estimators/slate.ts'
import { overlapOf } from '../../topologies/evaluation/estimators/support.ts'
import { type Estimator, estimateOf } from '../../topologies/evaluation/estimators/terms.ts'
import { SlateWorld } from './slate-world.ts'

export interface CoverageSettings {
  readonly trials: number
  readonly users: number
  readonly positions: number
  readonly replicates: number
  readonly seed: number
}

export interface Covered {
  readonly name: string
  /** Mean over logs, less the truth, in parts of the truth. */
  readonly bias: number
  /** Shares of logs whose interval holds the truth. */
  readonly normal: number
  readonly bootstrap: number
  /** Of the lower bound; only of estimators that are means of what is not negative. */
  readonly bernstein: number | null
  /** Width of the normal interval, in parts of the truth. */
  readonly width: number
}

export interface CoverageReport {
  readonly truth: number
  readonly logged: number
  readonly trials: number
  readonly leftOut: number
  readonly lists: number
  readonly ess: number
  readonly largestWeight: number
  readonly estimators: readonly Covered[]
}

const asked = ['ips_step', 'rips', 'snips', 'dr'] as const
const bounded: readonly string[] = ['ips_step', 'rips']

export function coverage(
  settings: CoverageSettings,
  progress: (done: number) => void = () => undefined,
): CoverageReport {
  const { trials, users, positions, replicates, seed } = settings
  const world = new SlateWorld(
    { kinds: 24, items: 8, positions, loggedTemperature: 1, targetTemperature: 0.5, visits: 6 },
    seed,
  )
  const truth = world.truth()
  const counted = new Map(
    asked.map(name => [name, { n: 0, sum: 0, normal: 0, boot: 0, low: 0, width: 0 }]),
  )
  let used = 0
  let lists = 0
  let ess = 0
  let largestWeight = 0
  for (let trial = 0; trial < trials; trial++) {
    progress(trial)
    const random = randomFrom(hash53(`trial ${trial}`, seed))
    const log = world.log(users, random)
    const weights = log.map(({ steps }) => steps.reduce((w, { ratio }) => w * ratio, 1))
    const overlap = overlapOf(
      weights,
      log.map(({ user }) => user),
    )
    if (overlap.effectiveSampleSize < 1000 || overlap.largest > 50) continue
    used++
    lists += log.length
    ess += overlap.effectiveSampleSize
    largestWeight = Math.max(largestWeight, overlap.largest)
    const { sums, estimators } = sumSlates(log, positions)
    const totals = sums.totals()
    const known = asked.map(name => estimators.find(each => each.name === name) as Estimator)
    const resampled = bootstrapIntervals(known, sums, { seed: trial, replicates })
    known.forEach((estimator, k) => {
      const to = counted.get(estimator.name as (typeof asked)[number])
      if (to === undefined) return
      const normal = normalInterval(estimator, sums) as Interval
      to.n++
      to.sum += estimateOf(estimator, totals)
      to.width += normal[1] - normal[0]
      if (holds(normal, truth)) to.normal++
      if (holds(resampled[k], truth)) to.boot++
      if (!bounded.includes(estimator.name)) return
      const [{ above, below }] = estimator.terms
      const mean = totals[below] / sums.size
      const low = bernsteinLower(sums.column(above).map(x => x / mean))
      if (low !== null && low <= truth) to.low++
    })
  }
  return {
    truth,
    logged: world.truth(1),
    trials: used,
    leftOut: trials - used,
    lists: lists / used,
    ess: ess / used,
    largestWeight,
    estimators: [...counted].map(([name, { n, sum, normal, boot, low, width }]) => ({
      name,
      bias: sum / n / truth - 1,
      normal: normal / n,
      bootstrap: boot / n,
      bernstein: bounded.includes(name) ? low / n : null,
      width: width / n / truth,
    })),
  }
}

function holds(interval: Interval | null, truth: number): boolean {
  return interval !== null && interval[0] <= truth && truth <= interval[1]
}

function main(): void {
  const { values } = parseArgs({
    options: {
      trials: { type: 'string', default: '2000' },
      users: { type: 'string', default: '700' },
      positions: { type: 'string', default: '3' },
      replicates: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  })
  const settings = {
    trials: Number(values.trials),
    users: Number(values.users),
    positions: Number(values.positions),
    replicates: Number(values.replicates),
    seed: Number(values.seed),
  }
  const found = coverage(settings, done => {
    if (done % 100 === 0 && process.stderr.isTTY)
      process.stderr.write(`\r${done} of ${settings.trials}`)
  })
  if (values.json) {
    console.log(JSON.stringify(found))
    return
  }
  const share = (x: number | null): string =>
    (x === null ? '' : `${(100 * x).toFixed(1)}%`).padStart(10)
  console.log(
    `truth ${found.truth.toFixed(4)} clicks a list of ${settings.positions} (T = .5), logged ${found.logged.toFixed(4)} (T = 1); ${found.trials} logs of ${found.lists.toFixed(0)} lists by ${settings.users} users, ESS ${found.ess.toFixed(0)}, largest weight ${found.largestWeight.toFixed(1)}; ${found.leftOut} left out`,
  )
  console.log('estimator        bias     width    normal bootstrap bernstein')
  for (const { name, bias, width, normal, bootstrap, bernstein } of found.estimators)
    console.log(
      name.padEnd(10) +
        share(bias) +
        share(width) +
        share(normal) +
        share(bootstrap) +
        share(bernstein),
    )
}

if (process.argv[1]?.endsWith('coverage.ts')) main()
