/** Brokers killed under load, one and of three. Minutes on a busy machine: run apart from the other tests. */
import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import { batchOf, readAll, textOf } from '../support/kafka-log.ts'
import { startKafka, uniqueName } from '../support/services.ts'
import { until } from '../support/until.ts'

const { Kafka, logLevel } = kafkajs

describe('a broker that is killed', () => {
  it('forgets the fence of batches dated over a day ago, so a fenced batch is dated by the clock', async () => {
    const service = await startKafka()
    const own = await createKafkaTransport({
      brokers: service.brokers.split(','),
      clientId: 'dates',
      waitMs: 10_000,
    })
    const topic = uniqueName('dates')
    const config = { 'retention.ms': '-1' }
    await own.topics.create([{ topic, partitions: 2, config }])
    const accepted: boolean[] = []
    for (const [number, ageMs] of [0, 2 * 86_400_000].entries()) {
      const at = { topic, partition: number }
      const producerId = await own.newProducerId()
      const append = (epoch: number): Promise<unknown> => {
        const builder = new RecordBatchBuilder()
        builder.add(Buffer.from('k'), Buffer.from(`${epoch}`))
        return own
          .writer({ producerId, epoch, deadlineMs: 60_000 })
          .append(at, builder.finish(Date.now() - ageMs))
      }
      await append(1)
      await service.kill9()
      await service.restart()
      const zombie = append(0).then(
        () => true,
        () => false,
      )
      accepted.push(await zombie)
    }
    expect(accepted).toEqual([false, true])
    await own.close()
    await service.stop()
  }, 120_000)

  it('loses, doubles and reorders nothing, fenced or published, and is waited for visibly', async () => {
    const service = await startKafka()
    const lines: string[] = []
    const note = (fields: Record<string, unknown>, text: string): void => {
      lines.push(`${text}: ${fields.waitingFor ?? fields.waitedFor ?? ''}`)
    }
    const own = await createKafkaTransport({
      brokers: service.brokers.split(','),
      clientId: 'kills',
      waitMs: 10_000,
      log: { info: note, warn: note, error: note },
    })
    const topic = uniqueName('kills')
    const [fenced, outside] = [0, 1].map(number => ({ topic, partition: number }))
    await own.topics.create([{ topic, partitions: 2, config: { 'retention.ms': '-1' } }])
    const reader = own.reader()
    for (const at of [fenced, outside]) reader.assign(at, 0)
    const polledTexts: string[][] = [[], []]
    let polling = true
    const poller = (async () => {
      while (polling)
        for (const batch of await reader.poll(100))
          polledTexts[batch.partition].push(...batch.records.map(record => String(record.value)))
    })()
    const writer = own.writer({
      producerId: await own.newProducerId(),
      epoch: 0,
      deadlineMs: 120_000,
    })
    const publisher = own.publisher()
    let appended = 0
    let published = 0
    let going = true
    const loops = [
      (async () => {
        for (; going; appended++)
          await writer.append(fenced, batchOf(['k', `${appended}`], ['l', `${appended}`]))
      })(),
      (async () => {
        for (; going; published++) {
          const value = Buffer.from(`${published}`)
          await publisher.send(topic, [{ key: null, value, partition: 1 }])
        }
      })(),
    ]
    let seenWaiting = 0
    for (let kill = 0; kill < 3; kill++) {
      const before = appended
      await until(() => appended > before + 100)
      await service.kill9()
      await until(() => own.waiting() !== undefined)
      seenWaiting++
      await service.restart()
    }
    const before = appended
    await until(() => appended > before + 100)
    going = false
    await Promise.all(loops)
    const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))
    expect(textOf(await readAll(own, fenced))).toEqual(numbers(appended).flatMap(n => [n, n]))
    expect(textOf(await readAll(own, outside))).toEqual(numbers(published))
    await until(() => polledTexts[0].length >= 2 * appended && polledTexts[1].length >= published)
    polling = false
    await poller
    expect(polledTexts).toEqual([numbers(appended).flatMap(n => [n, n]), numbers(published)])
    expect(seenWaiting).toBe(3)
    await until(() => own.waiting() === undefined)
    // one when it goes and one when it is back, but where the next went before that was told
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.length).toBeLessThanOrEqual(6)
    await own.close()
    await service.stop()
  }, 170_000)

  it('follows the leader to another broker, and tells when too few replicas are left', async () => {
    const service = await startKafka({ nodes: 3 })
    const own = await createKafkaTransport({
      brokers: service.brokers.split(','),
      clientId: 'leaders',
      waitMs: 10_000,
    })
    const at = { topic: uniqueName('leaders'), partition: 0 }
    await own.topics.create([{ topic: at.topic, partitions: 1, config: {} }])
    const admin = new Kafka({
      brokers: service.brokers.split(','),
      logLevel: logLevel.NOTHING,
    }).admin()
    await admin.connect()
    const { brokers: addresses } = await admin.describeCluster()
    const [topic] = (await admin.fetchTopicMetadata({ topics: [at.topic] })).topics
    await admin.disconnect()
    expect(topic.partitions[0].replicas).toHaveLength(3)
    const leader = topic.partitions[0].leader
    // the first broker is the only controller: without it nobody elects
    const killed = addresses.filter(broker => broker.nodeId === (leader === 1 ? 2 : leader))
    const writer = own.writer({
      producerId: await own.newProducerId(),
      epoch: 0,
      deadlineMs: 120_000,
    })
    const reader = own.reader()
    reader.assign(at, 0)
    const seen: string[] = []
    let appended = 0
    const append = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++, appended++)
        await writer.append(at, batchOf(['k', `${appended}`]))
      while (seen.length < appended) seen.push(...textOf(await reader.poll(500)))
    }
    await append(50)
    await service.kill9(`${killed[0].host}:${killed[0].port}`)
    await append(50)
    const other = addresses.find(broker => broker.nodeId !== 1 && broker !== killed[0])
    await service.kill9(`${other?.host}:${other?.port}`)
    const starved = append(1)
    await until(() => own.waiting()?.includes(at.topic) ?? false)
    await service.restart()
    await starved
    await append(50)
    expect(seen).toEqual(Array.from({ length: appended }, (_, i) => String(i)))
    expect(textOf(await readAll(own, at))).toEqual(seen)
    await own.close()
    await service.stop()
  }, 170_000)
})
