/** A byte that changes on a broker's disk: brokers hand it out as it is, so readers of state must look themselves. */
import { openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { FetchedBatch, LogReader, Transport } from '../../streams/transport/port.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import { type KafkaService, startKafka } from '../support/kafka.ts'
import { runFolder } from '../support/processes.ts'

const at = { topic: 'state', partition: 0 }

describe('a batch whose bytes changed on the disk', () => {
  let kafka: KafkaService
  let transport: Transport

  beforeAll(async () => {
    kafka = await startKafka()
    transport = await createKafkaTransport({ brokers: [kafka.brokers], clientId: 'test' })
    await transport.topics.create([{ topic: at.topic, partitions: 1, config: {} }])
    const producerId = await transport.newProducerId()
    const writer = transport.writer({ producerId, epoch: 0, deadlineMs: 10_000 })
    for (const text of ['sound', 'damaged']) {
      const builder = new RecordBatchBuilder()
      builder.add(Buffer.from('k'), Buffer.from(text))
      await writer.append(at, builder.finish(Date.now()))
    }
    flipByte('damaged')
  })
  afterAll(async () => {
    await transport?.close()
    await kafka?.stop()
  })

  /** In the file itself, which the broker serves as it is. */
  function flipByte(text: string): void {
    const folders = readdirSync(runFolder()).filter(name => name.startsWith('kafka-'))
    for (const folder of folders) {
      const file = join(runFolder(), folder, 'data', 'state-0', '00000000000000000000.log')
      const place = readFileSync(file).indexOf(text)
      expect(place).toBeGreaterThan(0)
      writeSync(openSync(file, 'r+'), Buffer.from('D'), 0, 1, place)
    }
  }

  async function polled(reader: LogReader): Promise<FetchedBatch[]> {
    const found: FetchedBatch[] = []
    for (let i = 0; i < 100 && found.length < 2; i++) found.push(...(await reader.poll(100)))
    await reader.close()
    return found
  }

  const damaged = {
    code: 'CHANGELOG_CORRUPT',
    message: expect.stringMatching(/the batch at state-0@1 is damaged: its checksum is/),
  }

  it('is refused with its address by a restore', async () => {
    await expect(transport.read(at, 0)).rejects.toMatchObject(damaged)
  })

  it('is refused with its address where packets are taken in and changelogs are followed', async () => {
    const reader = transport.reader()
    reader.assign(at, 0, true)
    await expect(polled(reader)).rejects.toMatchObject(damaged)
  })

  it('is what an input gives that asks for no check', async () => {
    const reader = transport.reader()
    reader.assign(at, 0)
    const values = (await polled(reader)).flatMap(({ records }) => records.map(r => `${r.value}`))
    expect(values).toEqual(['sound', 'Damaged'])
  })
})
