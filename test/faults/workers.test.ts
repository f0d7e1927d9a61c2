/** Workers that die, stand still, join and leave in mid-stream: what stands in the end equals the recount (C1 to C5). */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'

describe('workers in mid-stream', () => {
  let deployment: FaultDeployment
  afterEach(() => deployment?.close())

  it('killed -9 at random moments, 20 times: is anything lost or doubled?', async () => {
    const random = randomFrom(20)
    deployment = await FaultDeployment.open()
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const telling = deployment.tell({ perSecond: 300 })
    for (let kill = 0; kill < 20; kill++) {
      // in turn: at work, just claiming, in the middle of its restore
      await sleep(300 + random() * 6_000)
      const victim = kill % 2
      await runs[victim].kill9()
      runs[victim] = deployment.begin()
      // every third time the other one follows before the first is back
      if (kill % 3 === 2) {
        await sleep(random() * 1_500)
        await runs[1 - victim].kill9()
        runs[1 - victim] = deployment.begin()
        kill++
      }
    }
    await Promise.all(runs.map(run => run.ready()))
    await telling.more(2_000)
    await telling.stop()
    await deployment.expectAllEqual()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)
})
