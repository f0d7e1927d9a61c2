/** From a real broker: batches compressed by others, aborted transactions, one that stays open, and a log that goes on. */
import { Kafka, logLevel } from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import {
  newFolder,
  plain,
  readArchive,
  removeFolders,
  run,
  T0,
} from '../../test/support/archived-log.ts'
import { kafkaBrokers, uniqueName } from '../../test/support/services.ts'
import { until } from '../../test/support/until.ts'
import { verify } from './verify.ts'

afterEach(removeFolders)

describe('a topic on Kafka', () => {
  it('is archived without what was aborted, whose offsets are known gaps, and followed', async () => {
    const brokers = (await kafkaBrokers()).split(',')
    const transport = await createKafkaTransport({ brokers, clientId: 'archive-test' })
    const topic = uniqueName('archived')
    await transport.topics.create([
      { topic, partitions: 2, config: { 'message.timestamp.type': 'CreateTime' } },
    ])
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
    const producer = kafka.producer({
      transactionalId: uniqueName('archiver'),
      maxInFlightRequests: 1,
      idempotent: true,
    })
    await producer.connect()
    const sent: string[] = []
    for (let t = 0; t < 12; t++) {
      const transaction = await producer.transaction()
      for (const partition of [0, 1])
        await transaction.send({
          topic,
          compression: t % 2,
          messages: Array.from({ length: 5 }, (_, i) => ({
            partition,
            key: `k${i}`,
            value: `${t}/${partition}/${i}`,
            headers: { t: String(t) },
            timestamp: String(Date.now()),
          })),
        })
      if (t % 3 === 1) await transaction.abort()
      else {
        await transaction.commit()
        for (const partition of [0, 1])
          for (let i = 0; i < 5; i++) sent.push(`${t}/${partition}/${i}`)
      }
    }
    const dir = newFolder()
    const settings = {
      transport,
      source: { find: async () => null },
      topics: [{ name: 'events', topic, compacted: false }],
    }
    const report = await run(dir, settings)
    expect(report).toMatchObject({ records: 80, heldBack: [] })
    const values = (await readArchive(dir)).map(record => String(record.value))
    expect(values.toSorted()).toEqual(sent.toSorted())
    const proof = await verify(dir)
    expect(proof.faults).toEqual([])
    // 4 aborted of 5 records each, and a marker for each of 12 transactions
    for (const one of proof.partitions) expect(one).toMatchObject({ records: 40, absent: 32 })

    const stop = new AbortController()
    const following = run(dir, { ...settings, follow: true, checkpointMs: 50, signal: stop.signal })
    const plainProducer = kafka.producer()
    await plainProducer.connect()
    await plainProducer.send({
      topic,
      messages: [{ partition: 0, value: 'later', timestamp: String(T0) }],
    })
    await until(async () => (await readArchive(dir)).length === 81)
    stop.abort()
    await following
    expect(plain((await readArchive(dir))[80])).toMatchObject({ value: 'later', offset: 72 })
    expect((await verify(dir)).faults).toEqual([])
    await plainProducer.disconnect()
    await producer.disconnect()
    await transport.close()
  })
})
