/**
 * `npm run quality -- sequential [--streams N] [--users N] [--json]`: how often the always-valid p of an experiment without
 * an effect falls below .05 where one looks after every user, from 100 users an arm on. 2,000 streams of 10,000 users by
 * default; docs/experiments.md has results.
 */
import { parseArgs } from 'node:util'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { effectOf } from '../../topologies/experiments/statistics/effect.ts'
import { type Estimator, estimates } from '../../topologies/experiments/statistics/estimates.ts'

const limits = { alpha: 0.05, minUsers: 100 }

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

interface Stream {
  readonly how: Estimator
  /** Share of the users in the second arm. */
  readonly share: number
  /** y and x of the next user. */
  user(random: () => number): readonly [number, number]
}

const rate = (p: number) => (random: () => number) => [random() < p ? 1 : 0, 0] as const

/** Rates as of returns and clicks, times watched as skewed as those of viewers, ratios whose denominators vary fourfold. */
export const streams: Readonly<Record<string, Stream>> = {
  'rate .5': { how: 'share', share: 0.5, user: rate(0.5) },
  'rate .05': { how: 'share', share: 0.5, user: rate(0.05) },
  'rate .01': { how: 'share', share: 0.5, user: rate(0.01) },
  'log-normal, sigma 1.5': {
    how: 'mean',
    share: 0.5,
    user: random => [Math.exp(1.5 * normal(random)), 0],
  },
  'log-normal, sigma 1.5, 7 of 10 are 0': {
    how: 'mean',
    share: 0.5,
    user: random => [random() < 0.3 ? Math.exp(1.5 * normal(random)) : 0, 0],
  },
  'log-normal, sigma 1.5, arms of 9 to 1': {
    how: 'mean',
    share: 0.1,
    user: random => [Math.exp(1.5 * normal(random)), 0],
  },
  'log-normal, CUPED': {
    how: 'cuped',
    share: 0.5,
    user(random) {
      const taste = normal(random)
      return [
        Math.exp(taste + 0.7 * normal(random)),
        random() < 0.2 ? 0 : Math.exp(taste + 0.7 * normal(random)),
      ]
    },
  },
  'clicks per impression': {
    how: 'ratio',
    share: 0.5,
    user(random) {
      const shown = Math.ceil(Math.exp(2 + 0.8 * normal(random)))
      const likes = 0.05 + 0.3 * random() ** 3
      let clicks = 0
      for (let k = 0; k < shown; k++) if (random() < likes) clicks++
      return [clicks, shown]
    },
  },
}

/** How many of `count` streams of `users` users had p < .05 at any look. */
export function falseAlarms(name: string, count: number, users: number): number {
  const { how, share, user } = streams[name]
  let alarms = 0
  for (let s = 0; s < count; s++) {
    const random = randomFrom(hash53(`${name} ${s}`))
    const arms = [0, 1].map(() => ({ n: 0, y: 0, yy: 0, x: 0, xx: 0, xy: 0 }))
    for (let u = 0; u < users; u++) {
      const arm = arms[random() < share ? 1 : 0]
      const [y, x] = user(random)
      arm.n++
      arm.y += y
      arm.yy += y * y
      arm.x += x
      arm.xx += x * x
      arm.xy += x * y
      if (arms[0].n < limits.minUsers || arms[1].n < limits.minUsers) continue
      const [control, other] = estimates(arms, how)
      const { p } = effectOf(other, control, limits)
      if (p !== null && p < limits.alpha) {
        alarms++
        break
      }
    }
  }
  return alarms
}

function main(): void {
  const { values } = parseArgs({
    options: {
      streams: { type: 'string', default: '2000' },
      users: { type: 'string', default: '10000' },
      json: { type: 'boolean', default: false },
    },
  })
  const count = Number(values.streams)
  const users = Number(values.users)
  const found: Record<string, number> = {}
  for (const name of Object.keys(streams)) {
    found[name] = falseAlarms(name, count, users) / count
    if (!values.json)
      console.log(`${name.padEnd(40)} ${(100 * found[name]).toFixed(2)}% of ${count} streams`)
  }
  if (values.json) console.log(JSON.stringify({ streams: count, users, alarms: found }))
  if (Object.values(found).some(share => share > 0.06)) process.exitCode = 3
}

if (process.argv[1]?.endsWith('sequential.ts')) main()
