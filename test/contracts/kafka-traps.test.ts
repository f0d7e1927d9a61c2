/** What brokers really do and clients get wrong: compacted logs, transactions of others, compression, refusals. */
import kafkajs from 'kafkajs'
import lz4 from 'lz4-napi'
import snappy from 'snappy'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { FetchedBatch, TopicPartition, Transport } from '../../streams/transport/port.ts'
import { batchOf, pollTo, readAll, recordsOf, textOf } from '../support/kafka-log.ts'
import { kafkaBrokers, uniqueName } from '../support/services.ts'
import { pause, until } from '../support/until.ts'

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async (encoder: { buffer: Buffer }) => snappy.compress(encoder.buffer),
  decompress: async (bytes: Buffer) => snappy.uncompress(bytes),
})
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder: { buffer: Buffer }) => lz4.compressFrame(encoder.buffer),
  decompress: async (bytes: Buffer) => lz4.decompressFrame(bytes),
})

const QUICK_COMPACTION = {
  'cleanup.policy': 'compact',
  'segment.ms': '400',
  'min.cleanable.dirty.ratio': '0.001',
  'max.compaction.lag.ms': '500',
  'delete.retention.ms': '0',
}

let brokers: string[]
let transport: Transport
const kafka = (): kafkajs.Kafka => new Kafka({ brokers, logLevel: logLevel.NOTHING })

beforeAll(async () => {
  brokers = (await kafkaBrokers()).split(',')
  transport = await createKafkaTransport({ brokers, clientId: 'traps', waitMs: 10_000 })
})
afterAll(() => transport?.close())

async function partition(config: Record<string, string> = {}): Promise<TopicPartition> {
  const topic = uniqueName('traps')
  const lasting = { 'retention.ms': '-1', ...config }
  await transport.topics.create([{ topic, partitions: 1, config: lasting }])
  return { topic, partition: 0 }
}

const newWriter = async () =>
  transport.writer({ producerId: await transport.newProducerId(), epoch: 0, deadlineMs: 60_000 })

async function polled(at: TopicPartition, end: number): Promise<FetchedBatch[]> {
  const reader = transport.reader()
  reader.assign(at, 0)
  const batches = await pollTo(reader, end)
  await reader.close()
  return batches
}

describe('compacted logs', () => {
  it('gets past a closed segment that holds only an emptied batch', async () => {
    const at = await partition(QUICK_COMPACTION)
    // the broker keeps the last batch of a producer for its sequence, even when it is empty
    await (await newWriter()).append(at, batchOf(['k', 'old'], ['l', 'old']))
    const w = await newWriter()
    await w.append(at, batchOf(['k', 'new'], ['l', 'new']))
    await until(async () => {
      await w.append(at, batchOf(['tick', 'x']))
      await pause(300)
      return !textOf(await readAll(transport, at)).includes('old')
    })
    const first = await transport.read(at, 0, { maxBytes: 100, maxWaitMs: 1000 })
    expect(first.batches[0]).toMatchObject({ baseOffset: 0, nextOffset: 2, records: [] })
    const [{ end }] = await transport.topics.offsets([at])
    expect(textOf(await polled(at, end)).slice(0, 2)).toEqual(['new', 'new'])
  })

  it('passes a batch of which only the head survived in one step', async () => {
    const at = await partition(QUICK_COMPACTION)
    const w = await newWriter()
    const tail = Array.from({ length: 500 }, (_, i): [string, string] => [`t${i}`, 'old'])
    await w.append(at, batchOf(['head', 'stays'], ...tail))
    await w.append(at, batchOf(...tail.map(([key]): [string, string] => [key, 'new'])))
    await until(async () => {
      await w.append(at, batchOf(['tick', 'x']))
      await pause(300)
      return !textOf(await readAll(transport, at)).includes('old')
    })
    const read = await transport.read(at, 0, { maxBytes: 100, maxWaitMs: 1000 })
    expect(textOf(read.batches.slice(0, 1))).toEqual(['stays'])
    expect(read.batches[0].nextOffset).toBe(501)
    expect((await transport.read(at, 250, { maxBytes: 100 })).nextOffset).toBeGreaterThanOrEqual(
      501,
    )
  })
})

describe("other producers' transactions", () => {
  it('never shows an aborted record: interleaved, read from any offset, with keys of nulls', async () => {
    const at = await partition()
    const producers = await Promise.all(
      [0, 1].map(async i => {
        const producer = kafka().producer({
          transactionalId: `${at.topic}-${i}`,
          idempotent: true,
          maxInFlightRequests: 1,
          createPartitioner: Partitioners.DefaultPartitioner,
        })
        await producer.connect()
        return producer
      }),
    )
    const committed: string[] = []
    for (let round = 0; round < 4; round++) {
      const transactions = await Promise.all(producers.map(producer => producer.transaction()))
      for (let i = 0; i < 3; i++)
        for (const [p, transaction] of transactions.entries()) {
          const fate = (round + p) % 2 === 0 ? 'abort' : 'commit'
          const value = `${fate}-${round}-${p}-${i}`
          const key = Buffer.alloc(4)
          await transaction.send({ topic: at.topic, messages: [{ key, value, partition: 0 }] })
          if (fate === 'commit') committed.push(value)
        }
      for (const [p, transaction] of transactions.entries())
        await ((round + p) % 2 === 0 ? transaction.abort() : transaction.commit())
    }
    await Promise.all(producers.map(producer => producer.disconnect()))
    const [{ end }] = await transport.topics.offsets([at])
    expect(textOf(await polled(at, end))).toEqual(committed)
    const records = recordsOf(await readAll(transport, at))
    expect(records.map(record => String(record.value))).toEqual(committed)
    for (let from = 0; from < end; from++)
      expect(recordsOf(await readAll(transport, at, from)).map(r => r.offset)).toEqual(
        records.map(r => r.offset).filter(offset => offset >= from),
      )
  })
})

describe('another client as the judge', () => {
  it('reads what kafkajs wrote in every compression', async () => {
    const at = await partition()
    const producer = kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    const expected: string[] = []
    for (const compression of ['None', 'GZIP', 'Snappy', 'LZ4'] as const) {
      const values = Array.from({ length: 200 }, (_, i) => `${compression} ${i} ${'x'.repeat(i)}`)
      expected.push(...values)
      await producer.send({
        topic: at.topic,
        compression: CompressionTypes[compression],
        messages: values.map(value => ({ key: 'k', value, partition: 0, headers: { h: 'é' } })),
      })
    }
    await producer.disconnect()
    const batches = await polled(at, expected.length)
    expect(textOf(batches)).toEqual(expected)
    expect(recordsOf(batches)[700].headers).toEqual([{ key: 'h', value: Buffer.from('é') }])
  })

  it('writes what kafkajs reads, fenced and published', async () => {
    const at = await partition()
    await (await newWriter()).append(at, batchOf(['a', '1'], ['b', null], ['é', '3']))
    const publisher = transport.publisher()
    await publisher.send(at.topic, [
      { key: Buffer.from('p'), value: Buffer.from('4'), headers: { code: 'LATE' }, timestamp: 5 },
    ])
    const consumer = kafka().consumer({ groupId: uniqueName('judge') })
    await consumer.connect()
    await consumer.subscribe({ topic: at.topic, fromBeginning: true })
    const seen: unknown[] = []
    await consumer.run({
      eachMessage: async ({ message }) => {
        seen.push([
          message.offset,
          message.key?.toString(),
          message.value?.toString(),
          message.headers?.code?.toString(),
        ])
      },
    })
    await until(() => seen.length >= 4)
    await consumer.disconnect()
    expect(seen).toEqual([
      ['0', 'a', '1', undefined],
      ['1', 'b', undefined, undefined],
      ['2', 'é', '3', undefined],
      ['3', 'p', '4', 'LATE'],
    ])
  })
})

describe('refusals', () => {
  it('names the record that is too large and sends the others', async () => {
    const at = await partition({ 'max.message.bytes': '2000' })
    const publisher = transport.publisher()
    const record = (key: string, size: number) => ({
      key: Buffer.from(key),
      value: Buffer.alloc(size, 'x'),
      partition: 0,
    })
    const sent = publisher.send(at.topic, [record('a', 10), record('big', 5000), record('c', 10)])
    await expect(sent).rejects.toThrow(/key "big" \(5003 bytes\).*max\.message\.bytes/)
    await publisher.send(at.topic, [record('d', 10)])
    const keys = recordsOf(await readAll(transport, at)).map(r => String(r.key))
    expect(keys).toEqual(['a', 'c', 'd'])
  })

  it('says in one sentence that no broker answers', async () => {
    const options = { brokers: ['127.0.0.1:1'], clientId: 'nobody', waitMs: 300 }
    await expect(createKafkaTransport(options)).rejects.toMatchObject({
      code: 'DEPENDENCY_UNREACHABLE',
      message: expect.stringContaining('127.0.0.1:1'),
    })
  })

  it('names a topic that is not there', async () => {
    const sent = transport.publisher().send(uniqueName('absent'), [{ key: null, value: null }])
    await expect(sent).rejects.toMatchObject({ code: 'TOPIC_MISSING' })
  })
})
