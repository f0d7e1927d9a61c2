/** A cutover while events come in, with ClickHouse: after it every impression is one example, and every window counts all of its. */
import { afterAll, expect, it } from 'vitest'
import { answerOf, endRuns, freshet } from '../e2e/command.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'

afterAll(endRuns)

it('leaves no row of a table out, and none twice', async () => {
  const deployment = await FaultDeployment.open({ clickhouse: true, story: { users: 60 } })
  const { setting } = deployment
  const run = await deployment.run('--workers', '2')
  const telling = deployment.tell({ perSecond: 100 })
  await telling.more(1_000)
  const started = await freshet(setting, 'replay', 'start', 'r', '--json')
  expect(started.code, started.stderr).toBe(0)
  await telling.more(300)
  const cut = await answerOf(setting, 'replay', 'cutover', 'r')
  expect(cut).toMatchObject({ replay: 'r', generation: 2, changed: true, hadWorkers: true })
  console.info(JSON.stringify(cut))
  await telling.more(500)
  await telling.stop()
  deployment.itemChangelog = 'replay.r.g1.item-changelog'
  await deployment.expectAllEqual()
  await deployment.expectTablesEqual()
  expect(await run.stop()).toBe(0)
  await deployment.close()
}, 400_000)
