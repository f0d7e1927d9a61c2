/** The simulation finds bugs: each of these is put in, and a schedule must fail. How many it took is printed. */
import { afterAll, expect, it } from 'vitest'
import { plants } from './plants.ts'
import { schedulesUntilFailure } from './run.ts'
import { runSchedule } from './world.ts'

/** Searches a bug, each from other seeds on: several give the number of schedules that it takes on average. */
const SEARCHES = Number(process.env.FRESHET_SEARCHES ?? 1)
const LIMIT = 3000
const lines: string[] = []

afterAll(() => console.log(lines.join('\n')))

for (const [name, plant] of Object.entries(plants))
  it(`finds: ${name}`, async () => {
    const { options, undo } = plant()
    try {
      let schedules = 0
      let failure = ''
      for (let search = 0; search < SEARCHES; search++) {
        const from = 1 + search * 10_000
        const found = await schedulesUntilFailure(from, LIMIT, options)
        if (!found) throw new Error(`none of ${LIMIT} schedules from seed ${from} on failed`)
        schedules += found.schedules
        failure = found.failure
      }
      const mean = (schedules / SEARCHES).toFixed(1)
      lines.push(`${name}: ${mean} schedules (${failure.slice(0, 110)})`)
    } finally {
      undo()
    }
  }, 300_000)

it('replays a seed exactly: the same events, the same trace', async () => {
  for (const seed of [3, 7, 11, 4242]) {
    const first = await runSchedule(seed, { trace: true })
    const second = await runSchedule(seed, { trace: true })
    const untraced = await runSchedule(seed)
    expect(second.trace).toEqual(first.trace)
    expect([second.hash, untraced.hash]).toEqual([first.hash, first.hash])
    expect(first.trace.length).toBeGreaterThan(100)
  }
})
