/**
 * `npm run quality -- drift [--windows 2000] [--trials 200]`: false alarms of quiet windows beside the declared rate, and
 * shifts found, over the rows of a window and of the reference and over how alike the rows of one user are.
 */
import { parseArgs } from 'node:util'
import { falseAlarms, found, subjects } from './drift-null.ts'

const { values: flags } = parseArgs({
  options: {
    windows: { type: 'string', default: '2000' },
    trials: { type: 'string', default: '200' },
    alpha: { type: 'string', default: '0.01' },
  },
})
const windows = Number(flags.windows)
const alpha = Number(flags.alpha)
const users = [
  { perUser: 1, alike: 0 },
  { perUser: 5, alike: 0.6 },
  { perUser: 5, alike: 1 },
  { perUser: 20, alike: 0.6 },
  { perUser: 20, alike: 0.9 },
]
const rowsOf = [
  { n: 1_000, reference: 1_000, each: 1 },
  { n: 1_000, reference: 20_000, each: 20 },
  { n: 1_000, reference: 200_000, each: 200 },
  { n: 5_000, reference: 50_000, each: 50 },
  { n: 20_000, reference: 200_000, each: 200 },
]
const bad = (rate: number): string => (rate < 0.5 || rate > 1.5 ? '  <- outside [.5, 1.5]' : '')

console.log(
  `${windows} quiet windows of ${subjects.length} subjects, declared: ${alpha} a window over all\n`,
)
let outside = 0
for (const user of users)
  for (const size of rowsOf) {
    const { any, each } = falseAlarms({ ...user, ...size, windows, alpha })
    const times = any / alpha
    if (bad(times) !== '') outside++
    const largest = Math.max(...each)
    console.log(
      `${user.perUser} a user, alike ${user.alike}, n ${size.n}, reference ${size.reference}: ${(100 * any).toFixed(2)}%, ${times.toFixed(2)} x declared; one subject at most ${(100 * largest).toFixed(2)}%${bad(times)}`,
    )
  }

console.log(`\nshifts of PSI .2 in one subject, ${flags.trials} trials of 3 windows`)
for (const user of users)
  for (const n of [1_000, 5_000]) {
    const at = { ...user, n, reference: 20_000, alpha }
    const { once, alert } = found(at, 0.2, Number(flags.trials))
    console.log(
      `${user.perUser} a user, alike ${user.alike}, n ${n}: a window over in ${(100 * once).toFixed(1)}%, two in a row in ${(100 * alert).toFixed(1)}%`,
    )
  }
if (outside > 0) process.exitCode = 3
