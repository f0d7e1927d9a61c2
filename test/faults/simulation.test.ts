/** The simulation at length: fresh seeds behind those of every test run. FRESHET_SEED and FRESHET_SEEDS as there. */
import { expect, it } from 'vitest'
import { askedSeeds, runSeeds } from '../simulation/run.ts'

it('counts every event once in 20,000 schedules', async () => {
  const asked = askedSeeds(100_001, 20_000)
  const totals = await runSeeds(asked)
  console.log(JSON.stringify(totals))
  expect(totals.schedules).toBe(asked.count)
}, 3_600_000)
