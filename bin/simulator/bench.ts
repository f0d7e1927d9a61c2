/** How fast the simulator makes events: `npx tsx bin/simulator/bench.ts`. */
import { createWorld } from './world.ts'

const count = 1_000_000
const world = createWorld({ seed: 1, startTs: Date.UTC(2026, 0, 1), users: 50_000 })
const events = world.events({ ratePerSecond: 5000 })
for (let i = 0; i < 50_000; i++) events.next()
const start = process.cpuUsage()
let first = 0
let last = 0
for (let i = 0; i < count; i++) {
  last = events.next().value.at
  if (i === 0) first = last
}
const { user, system } = process.cpuUsage(start)
const seconds = (user + system) / 1e6
process.stdout.write(
  `${Math.round(count / seconds)} events a CPU-second; ${Math.round((count * 1000) / (last - first))} a second of event time (5000 asked)\n`,
)
