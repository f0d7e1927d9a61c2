/** Half of the schedules; the other half runs beside it. Seeds: `askedSeeds`. */
import { expect, it } from 'vitest'
import { askedSeeds, runSeeds } from './run.ts'

it('counts every event once through crashes, zombies, lost acknowledgements and cleaners', async () => {
  const totals = await runSeeds(askedSeeds(1, 2000), { part: 1, parts: 2 })
  console.log(JSON.stringify(totals))
  expect(totals.schedules * 5).toBeLessThanOrEqual(totals.takeovers + 5)
}, 600_000)
