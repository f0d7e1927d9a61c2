/** State removed by hand is noticed before anything is written, and the message says what to do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endRuns } from '../e2e/command.ts'
import { PARTITIONS } from '../e2e/producers.ts'
import { until } from '../e2e/setting.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'
import { type KafkaService, startKafka } from '../support/kafka.ts'
import { type RedisService, startRedis } from '../support/services.ts'

describe("one part of the application's state removed by hand: is it refused, with the remedy?", () => {
  let kafka: KafkaService
  let redis: RedisService
  let deployment: FaultDeployment

  beforeAll(async () => {
    ;[kafka, redis] = await Promise.all([startKafka(), startRedis()])
  })
  afterAll(async () => {
    await deployment?.close()
    await kafka?.stop()
    await redis?.stop()
  })

  /** An application with some state that has stopped in order. */
  async function stopped(): Promise<FaultDeployment> {
    deployment = await FaultDeployment.open({ brokers: kafka.brokers, redisUrl: redis.url })
    const run = await deployment.run()
    const telling = deployment.tell({ perSecond: 600 })
    await telling.more(2_000)
    await telling.stop()
    await deployment.caughtUp()
    expect(await run.stop(), run.output).toBe(0)
    return deployment
  }

  /** What outside readers see, and how far every topic of its own has been written. */
  async function standing({ setting }: FaultDeployment): Promise<Record<string, unknown>> {
    const keys = (await setting.redisKeys()).sort()
    const hashes = await setting.hashes(keys.filter(key => key.startsWith('session:')))
    const counts = await setting.scores('pop:7d')
    const ends: Record<string, string[]> = {}
    for (const topic of (await setting.admin.listTopics()).sort())
      if (topic.startsWith(`${setting.name}.`) && !topic.endsWith('fence-probe'))
        ends[topic] = (await setting.admin.fetchTopicOffsets(topic)).map(({ high }) => high)
    return { keys, sessions: [...hashes], counts: [...counts], ends }
  }

  async function expectRefused(named: RegExp): Promise<void> {
    const before = await standing(deployment)
    const run = deployment.begin()
    expect(await run.ended, run.output).toBe(1)
    expect(run.output).toMatch(named)
    expect(run.output, 'the remedy').toMatch(/freshet reset/)
    expect(await standing(deployment)).toEqual(before)
    await endRuns()
    await deployment.close()
  }

  for (const name of ['item-changelog', 'user-changelog', 'item-deltas', 'global-changelog'])
    it(`the topic ${name} deleted`, async () => {
      const { setting } = await stopped()
      const topic = setting.topic(`g1.${name}`)
      await setting.admin.deleteTopics({ topics: [topic] })
      await expectRefused(new RegExp(topic.replaceAll('.', '\\.')))
    }, 180_000)

  for (const name of ['item-changelog', 'user-changelog'])
    it(`the topic ${name} deleted and made anew, empty`, async () => {
      const { setting } = await stopped()
      const topic = setting.topic(`g1.${name}`)
      await setting.admin.deleteTopics({ topics: [topic] })
      const configEntries = [{ name: 'cleanup.policy', value: 'compact' }]
      await until(() =>
        setting.admin
          .createTopics({ topics: [{ topic, numPartitions: PARTITIONS, configEntries }] })
          .catch(() => false),
      )
      await expectRefused(new RegExp(topic.replaceAll('.', '\\.')))
    }, 180_000)
})
