/** Brokers that die under the recommender: it waits, goes on by itself, and what stands in the end equals the recount. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../e2e/setting.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'
import type { KafkaService } from '../support/kafka.ts'

describe('a broker killed -9', () => {
  let deployment: FaultDeployment
  afterEach(() => deployment?.close())

  it('and back after 10 s, three times, then after 60 s: does the same process go on, and is all there?', async () => {
    deployment = await FaultDeployment.open()
    const kafka = deployment.kafka as KafkaService
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const telling = deployment.tell({ perSecond: 300 })
    for (const awayMs of [10_000, 10_000, 10_000, 60_000]) {
      await telling.more(1_500)
      await kafka.kill9()
      await sleep(awayMs)
      await kafka.restart()
      await Promise.all(runs.map(run => run.ready()))
    }
    await telling.more(1_500)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectOneWriter()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)

  it('of two, the leader, 6 times: does the other go on where it stood?', async () => {
    deployment = await FaultDeployment.open({ kafka: { nodes: 2, controllerApart: true } })
    const kafka = deployment.kafka as KafkaService
    const { admin } = deployment.setting
    const topic = deployment.setting.topic('events')
    const inSync = async (): Promise<number[]> => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      return topics[0].partitions.map(({ isr }) => isr.length)
    }
    expect(await inSync()).toEqual([2, 2, 2, 2])
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const telling = deployment.tell({ perSecond: 300 })
    const addresses = kafka.brokers.split(',')
    for (let kills = 0; kills < 6; kills++) {
      await telling.more(1_000)
      await kafka.kill9(addresses[kills % 2])
      // the one that is left leads all and takes what comes
      await telling.more(1_000)
      await kafka.restart()
      await until(async () => (await inSync().catch(() => [])).join() === '2,2,2,2')
    }
    await Promise.all(runs.map(run => run.ready()))
    await telling.more(1_000)
    await telling.stop()
    await deployment.expectAllEqual()
    await deployment.expectOneWriter()
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)
})
