/** Both sources give what the log holds: A1, K1 to K3. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { Kafka, logLevel } from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { topicNames } from '../../streams/runtime/names.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { FetchedBatch, Transport } from '../../streams/transport/port.ts'
import {
  logged,
  newFolder,
  newLog,
  plain,
  removeFolders,
  run,
  T0,
  topicsOf,
} from '../../test/support/archived-log.ts'
import { kafkaBrokers, uniqueName } from '../../test/support/services.ts'
import { ArchiveReader } from '../archive/reader.ts'
import type { RecordSource } from '../shadow/source.ts'
import { archiveSource } from './archive.ts'
import { kafkaSource } from './kafka.ts'

afterEach(removeFolders)

const names = topicNames('freshet.', 1)

async function all(
  source: RecordSource,
  topic: string,
  partition: number,
  from: number,
  to: number,
): Promise<unknown[]> {
  const records: unknown[] = []
  for await (const one of source.read(topic, partition, from, to)) {
    expect(one.length).toBeGreaterThan(0)
    records.push(...one.map(plain))
  }
  return records
}

/** 3 kinds of topics, two partitions; sizes that make several batches and blocks. */
async function filledLog(records: number) {
  const log = await newLog(2)
  for (let i = 0; i < records; i++)
    await log.send(i % 5 === 0 ? 'items' : 'events', [
      {
        key: Buffer.from(`k${i % 17}`),
        value: i % 7 === 0 ? null : Buffer.from(`v${i}-${'x'.repeat((i * 37) % 900)}`),
        headers: i % 3 === 0 ? { a: 'b' } : undefined,
        timestamp: T0 + i * 40_000,
      },
    ])
  const dir = newFolder()
  await run(dir, { transport: log.transport, source: log.registry })
  return { log, dir }
}

describe('a source', () => {
  it('gives from the archive what it gives from the log, whatever the range', async () => {
    const { log, dir } = await filledLog(400)
    const live = kafkaSource(log.transport, names)
    const archived = archiveSource(ArchiveReader.open(dir))
    for (const topic of ['events', 'items'])
      for (const partition of [0, 1]) {
        const at = { topic: `freshet.${topic}`, partition }
        const whole = (await logged(log.transport, at)) as { offset: number }[]
        const [{ end }] = await log.transport.topics.offsets([at])
        await fc.assert(
          fc.asyncProperty(fc.nat(end), fc.nat(end), async (a, b) => {
            const [from, to] = [Math.min(a, b), Math.max(a, b)]
            const expected = whole.filter(({ offset }) => offset >= from && offset < to)
            expect(await all(live, topic, partition, from, to)).toEqual(expected)
            expect(await all(archived, topic, partition, from, to)).toEqual(expected)
          }),
          { numRuns: 20 },
        )
      }
    await live.close()
  })

  it('K1 ends where compaction left holes, also at the very end', async () => {
    const { transport } = await newLog(1)
    const holed = withHoles(transport, 'freshet.items')
    await transport.publisher().send(
      'freshet.items',
      Array.from({ length: 30 }, (_, i) => ({
        key: Buffer.from(`i${i}`),
        value: Buffer.from('x'),
      })),
    )
    for (let i = 30; i < 60; i++)
      await transport
        .publisher()
        .send('freshet.items', [{ key: Buffer.from(`i${i}`), value: Buffer.from('x') }])
    const source = kafkaSource(holed, names)
    const offsets = (await all(source, 'items', 0, 0, 60)) as { offset: number }[]
    expect(offsets.map(one => one.offset)).toEqual([...Array(40).keys()].filter(i => i % 2 === 0))
    expect(await all(source, 'items', 0, 41, 60)).toEqual([])
    await source.close()
  })

  it('K2 several partitions in turn, one of them left standing, another read twice at once', async () => {
    const { log } = await filledLog(200)
    const source = kafkaSource(log.transport, names)
    const [{ end }] = await log.transport.topics.offsets([
      { topic: 'freshet.events', partition: 0 },
    ])
    const standing = source.read('events', 1, 0, 5)
    await standing.next()
    const [one, two] = await Promise.all([
      all(source, 'events', 0, 0, end),
      all(source, 'events', 0, 0, end),
    ])
    expect(one).toEqual(two)
    expect(one).toEqual(await logged(log.transport, { topic: 'freshet.events', partition: 0 }))
    await standing.return(undefined)
    await source.close()
  })

  it('K3 names what the log no longer has, at the start and where it leaves while it is read', async () => {
    const { log } = await filledLog(100)
    const source = kafkaSource(log.transport, names)
    const at = { topic: 'freshet.events', partition: 0 }
    await log.transport.topics.trim(at, 10)
    await expect(all(source, 'events', 0, 4, 30)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringMatching(
        /events-0: the log begins at 10.*offsets 4 to 9 \(6\) were deleted.*archive/,
      ),
    })
    await expect(all(source, 'events', 0, 10, 10_000)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringMatching(/the log ends at/),
    })
    await expect(all(source, 'others', 0, 0, 1)).rejects.toMatchObject({ code: 'TOPIC_MISSING' })
    await expect(all(source, 'events', 2, 0, 1)).rejects.toMatchObject({ code: 'TOPIC_MISSING' })
    await source.close()
  })

  it('says what holds back a partition that gives nothing below its end', async () => {
    const { log } = await filledLog(20)
    const stuck = {
      ...log.transport,
      reader: () => ({ ...emptyReader(), poll: async () => [] as FetchedBatch[] }),
    }
    const source = kafkaSource(stuck, names, { patienceMs: 20 })
    await expect(all(source, 'events', 0, 0, 5)).rejects.toMatchObject({
      message: expect.stringMatching(/gives nothing from offset 0 on.*transaction/),
    })
  })
})

describe('A1 an archive that is not whole ends the reading', () => {
  const damage: [string, (dir: string) => void, RegExp][] = [
    ['a file is missing', dir => rmSync(join(dir, fileOf(dir, 1))), /it is missing/],
    [
      'a file is cut',
      dir =>
        writeFileSync(
          join(dir, fileOf(dir, 1)),
          readFileSync(join(dir, fileOf(dir, 1))).subarray(0, 400),
        ),
      /is damaged at byte/,
    ],
    [
      'bytes of a file are others',
      dir => {
        const path = join(dir, fileOf(dir, 1))
        const bytes = readFileSync(path)
        bytes.fill(7, bytes.length - 60)
        writeFileSync(path, bytes)
      },
      /is damaged at byte/,
    ],
    [
      'a file is of another partition',
      dir => {
        const other = manifestText(dir).files.find(
          one => one.topic === 'events' && one.partition === 1,
        )
        const path = join(dir, fileOf(dir, 1))
        writeFileSync(path, readFileSync(join(dir, other?.path ?? '')))
        changed(dir, 1, { bytes: readFileSync(path).length })
      },
      /it is events-1@\d+, the manifest names it for events-0/,
    ],
    [
      'a file is not named',
      dir => changed(dir, 1, undefined),
      /events-0 has no file for the offsets/,
    ],
    ['two files overlap', dir => changed(dir, 1, { from: 3 }), /stand in another file too/],
  ]
  it.each(damage)('%s', async (_, harm, message) => {
    const { dir } = await filledLog(400)
    harm(dir)
    const source = archiveSource(ArchiveReader.open(dir))
    await expect(all(source, 'events', 0, 0, 10_000)).rejects.toMatchObject({
      code: 'ARCHIVE_DAMAGED',
      message: expect.stringMatching(message),
    })
  })

  it('a partition that it does not have, and offsets that its retention removed', async () => {
    const { dir } = await filledLog(100)
    const open = () => archiveSource(ArchiveReader.open(dir))
    await expect(all(open(), 'events', 7, 0, 1)).rejects.toMatchObject({ code: 'TOPIC_MISSING' })
    const manifest = manifestText(dir)
    manifest.topics[0].partitions[0].kept = 5
    writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest))
    await expect(all(open(), 'events', 0, 0, 10)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringMatching(/from offset 5 on, and 0 to 4 are to be read/),
    })
  })
})

describe('a topic on Kafka', () => {
  it('K1 ends behind control records and aborted transactions, as its archive does', async () => {
    const brokers = (await kafkaBrokers()).split(',')
    const transport = await createKafkaTransport({ brokers, clientId: 'source-test' })
    const prefix = `${uniqueName('source')}.`
    const topic = `${prefix}events`
    await transport.topics.create([{ topic, partitions: 2, config: {} }])
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
    const producer = kafka.producer({
      transactionalId: uniqueName('sender'),
      maxInFlightRequests: 1,
      idempotent: true,
    })
    await producer.connect()
    for (let t = 0; t < 6; t++) {
      const transaction = await producer.transaction()
      for (const partition of [0, 1])
        await transaction.send({
          topic,
          compression: t % 2,
          messages: Array.from({ length: 40 }, (_, i) => ({
            partition,
            key: `k${i}`,
            value: `${t}/${i}`,
          })),
        })
      if (t % 3 === 2) await transaction.abort()
      else await transaction.commit()
    }
    const dir = newFolder()
    await run(dir, {
      transport,
      source: { find: async () => null },
      topics: topicsOf('events').map(one => ({ ...one, topic })),
    })
    const live = kafkaSource(transport, topicNames(prefix, 1))
    const archived = archiveSource(ArchiveReader.open(dir))
    const bounds = await transport.topics.offsets([0, 1].map(partition => ({ topic, partition })))
    for (const partition of [0, 1]) {
      const { end } = bounds[partition]
      // 6 transactions of 40 records and a marker each; the last was aborted
      expect(end).toBe(246)
      for (const [from, to] of [
        [0, end],
        [0, 41],
        [40, 42],
        [30, 200],
        [206, end],
      ]) {
        const expected = await all(archived, 'events', partition, from, to)
        expect(await all(live, 'events', partition, from, to)).toEqual(expected)
        if (to === end && from === 0) expect(expected).toHaveLength(160)
      }
    }
    await live.close()
    await producer.disconnect()
    await transport.topics.remove([topic])
    await transport.close()
  })
})

const emptyReader = () => ({
  assign: () => undefined,
  unassign: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
  highWatermark: () => undefined,
  close: async () => undefined,
})

/** Its readers leave out odd offsets and all from 40 on, as a compacted log might have them: the batches stay, empty. */
const withHoles = (transport: Transport, topic: string): Transport => ({
  ...transport,
  reader() {
    const reader = transport.reader()
    const poll = reader.poll.bind(reader)
    reader.poll = async maxWaitMs =>
      (await poll(maxWaitMs)).map(batch =>
        batch.topic !== topic
          ? batch
          : {
              ...batch,
              records: batch.records.filter(({ offset }) => offset % 2 === 0 && offset < 40),
            },
      )
    return reader
  },
})

interface ManifestText {
  topics: { partitions: { kept: number }[] }[]
  files: { path: string; topic: string; partition: number; from: number }[]
}

const manifestText = (dir: string): ManifestText =>
  JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as ManifestText

/** The path of the nth file of events-0. */
const fileOf = (dir: string, n: number): string => entriesOf(manifestText(dir))[n].path

const entriesOf = ({ files }: ManifestText) =>
  files.filter(one => one.topic === 'events' && one.partition === 0)

/** Changes what the manifest says of it; undefined: leaves it out. */
function changed(dir: string, n: number, by: object | undefined): void {
  const manifest = manifestText(dir)
  const entry = entriesOf(manifest)[n]
  if (by === undefined) manifest.files.splice(manifest.files.indexOf(entry), 1)
  else Object.assign(entry, by)
  const path = join(dir, 'manifest.json')
  writeFileSync(`${path}.new`, JSON.stringify(manifest))
  renameSync(`${path}.new`, path)
}
