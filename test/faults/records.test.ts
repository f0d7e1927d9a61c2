/** Records that nobody can read, in the middle of faults: each is a dead letter once, and nothing beside it is lost. */
import { afterEach, describe, expect, it } from 'vitest'
import { FaultDeployment } from '../support/faults/deployment.ts'

describe('bad records among good ones', () => {
  let deployment: FaultDeployment
  afterEach(() => deployment?.close())

  it('1% of them, while workers die: is each in the dead letters, and all else counted, in ClickHouse too?', async () => {
    deployment = await FaultDeployment.open({ story: { poison: 0.01 }, clickhouse: true })
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const telling = deployment.tell({ perSecond: 250 })
    for (let kills = 0; kills < 4; kills++) {
      await telling.more(1_500)
      await runs[kills % 2].kill9()
      runs[kills % 2] = deployment.begin()
    }
    await Promise.all(runs.map(run => run.ready()))
    await telling.more(1_500)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectTablesEqual()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)
})
