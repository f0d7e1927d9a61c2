/** Workers that die, stand still, join and leave in mid-stream: what stands in the end equals the recount (C1 to C5). */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import type { Run } from '../e2e/command.ts'
import { until } from '../e2e/setting.ts'
import { FaultDeployment, SESSION_TIMEOUT_MS } from '../support/faults/deployment.ts'

describe('workers in mid-stream', () => {
  let deployment: FaultDeployment
  afterEach(() => deployment?.close())

  it('killed -9 at random moments, 20 times: is anything lost or doubled?', async () => {
    const random = randomFrom(20)
    deployment = await FaultDeployment.open()
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const telling = deployment.tell({ perSecond: 300 })
    const kill = async (victim: number): Promise<void> => {
      await runs[victim].kill9()
      runs[victim] = deployment.begin()
    }
    for (let kills = 0; kills < 20; kills++) {
      // at work, before it is a member, or in the middle of its restore; now and then the other one right behind it
      await sleep(kills % 4 === 3 ? random() * 1_000 : 500 + random() * 6_000)
      await kill(kills % 2)
    }
    await Promise.all(runs.map(run => run.ready()))
    await telling.more(2_000)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectOneWriter()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)

  it('stopped for longer than the session timeout and going on, 5 times: does a zombie write?', async () => {
    const random = randomFrom(5)
    deployment = await FaultDeployment.open()
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const telling = deployment.tell({ perSecond: 300 })
    for (let stops = 0; stops < 5; stops++) {
      await telling.more(600 + Math.floor(random() * 600))
      const run = runs[stops % 2]
      const before = lostLines(run)
      run.signal('SIGSTOP')
      await sleep(SESSION_TIMEOUT_MS + 4_000 + random() * 2_000)
      // the other one has its tasks by now, and has written
      run.signal('SIGCONT')
      await until(() => lostLines(run) > before)
      await run.ready()
    }
    await telling.more(1_000)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectOneWriter()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)

  it('joining and leaving under load, 10 times: does a task that moves keep all of its state?', async () => {
    const random = randomFrom(10)
    deployment = await FaultDeployment.open()
    const runs = [await deployment.run()]
    const telling = deployment.tell({ perSecond: 300 })
    for (let moves = 0; moves < 10; moves++) {
      await telling.more(200 + Math.floor(random() * 900))
      const leaves = runs.length === 3 || (runs.length > 1 && random() < 0.5)
      if (leaves) {
        const [run] = runs.splice(Math.floor(random() * runs.length), 1)
        const isUp = run.ports.length > 0
        const code = await run.stop()
        // before it has listened to signals it ends as any program does, and was no member yet
        expect(code, run.output).toSatisfy(is => is === 0 || (!isUp && is === null))
      } else runs.push(random() < 0.5 ? await deployment.run() : deployment.begin())
    }
    await Promise.all(runs.map(run => run.ready()))
    await telling.more(1_000)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectOneWriter()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)

  it('of a supervisor, killed one after another: are they back, and is all there?', async () => {
    const random = randomFrom(6)
    deployment = await FaultDeployment.open()
    const run = await deployment.run('--workers', '3')
    const telling = deployment.tell({ perSecond: 300 })
    for (let kills = 0; kills < 6; kills++) {
      await telling.more(500 + Math.floor(random() * 1_000))
      const alive = livingWorkers(run)
      const begun = run.workers.length
      process.kill(alive[Math.floor(random() * alive.length)], 'SIGKILL')
      await until(() => run.workers.length > begun)
    }
    await run.ready(3)
    await telling.more(1_000)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectOneWriter()
    expect(await run.stop(), run.output).toBe(0)
  }, 600_000)
})

/** How often it said that it lost its membership or a task. */
function lostLines(run: Run): number {
  return run.log.filter(({ msg }) => /^(left out of the group|task lost)/.test(msg)).length
}

function livingWorkers(run: Run): number[] {
  const left = new Set(run.log.filter(line => line.msg === 'worker left').map(line => line.pid))
  return run.workers.filter(pid => !left.has(pid))
}
