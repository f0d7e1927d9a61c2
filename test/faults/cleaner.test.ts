/** Compaction is no journal: with the cleaner hard at work on all changelogs, a restore still finds what was committed. */
import { afterEach, describe, expect, it } from 'vitest'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { PARTITIONS } from '../e2e/producers.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'
import { allRecords } from '../support/faults/read-state.ts'

describe('the log cleaner', () => {
  let deployment: FaultDeployment
  afterEach(() => deployment?.close())

  it('hard at work while workers die: does a restore find all that was committed?', async () => {
    deployment = await FaultDeployment.open({
      kafka: { config: { 'log.cleaner.backoff.ms': '100', 'log.cleaner.threads': '2' } },
    })
    const { setting } = deployment
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const changelogs = (await setting.admin.listTopics()).filter(name =>
      name.endsWith('-changelog'),
    )
    expect(changelogs.length).toBeGreaterThan(3)
    await setting.admin.alterConfigs({
      validateOnly: false,
      resources: changelogs.map(name => ({
        type: 2,
        name,
        configEntries: Object.entries({
          'cleanup.policy': 'compact',
          'max.message.bytes': String(8 << 20),
          'segment.ms': '1000',
          'min.cleanable.dirty.ratio': '0.001',
          'min.compaction.lag.ms': '0',
          'delete.retention.ms': '100',
          'file.delete.delay.ms': '100',
        }).map(([config, value]) => ({ name: config, value })),
      })),
    })
    const telling = deployment.tell({ perSecond: 300 })
    for (let kills = 0; kills < 10; kills++) {
      await telling.more(1_200)
      await runs[kills % 2].kill9()
      runs[kills % 2] = deployment.begin()
    }
    await Promise.all(runs.map(run => run.ready()))
    await telling.more(1_200)
    await telling.stop()
    await deployment.expectAllEqual()
    const left = await shareLeft(setting.brokers, setting.topic('g1.user-changelog'))
    expect(left, 'share of the records that the cleaner left').toBeLessThan(0.8)
    for (const run of runs) expect(await run.stop(), run.output).toBe(0)
  }, 600_000)
})

/** Records that are still there, of all that were ever written. */
async function shareLeft(brokers: string, topic: string): Promise<number> {
  const transport = await createKafkaTransport({ brokers: brokers.split(','), clientId: 'left' })
  try {
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))
    const offsets = await transport.topics.offsets(partitions)
    const written = offsets.reduce((sum, { end }) => sum + end, 0)
    let left = 0
    for await (const _ of allRecords(transport, topic, PARTITIONS)) left++
    return left / written
  } finally {
    await transport.close()
  }
}
