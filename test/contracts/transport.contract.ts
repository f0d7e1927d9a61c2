/**
 * The transport port's contract: T1 to T6 of `streams/transport/port.ts` and what its comments promise. Every adapter
 * runs it; a new one is done when it passes. Topics get a fresh name each, so one broker serves many runs.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FreshetError } from '../../streams/errors.ts'
import { partitionOf } from '../../streams/serde/hash.ts'
import type {
  FencedWriter,
  FetchedBatch,
  LogReader,
  LogRecord,
  TaskId,
  TopicPartition,
  Transport,
} from '../../streams/transport/port.ts'
import { RecordBatchBuilder, type UnstampedBatch } from '../../streams/transport/record-batch.ts'

export interface TransportUnderTest {
  readonly transport: Transport
}

/** What only some adapters can be put through. */
export interface TransportHooks {
  /** Closes the transport and opens it anew over the same data. */
  reopen?(current: Transport): Promise<Transport>
  /** An outside producer writes the value in a transaction and aborts it (T5). */
  abortedTransaction?(at: TopicPartition, value: Buffer): Promise<void>
  /** Makes the broker unreachable while `during` runs, and reachable before it resolves (T6). */
  outage?(during: () => Promise<void>): Promise<void>
}

const QUICK_COMPACTION = {
  'cleanup.policy': 'compact',
  'segment.ms': '400',
  'min.cleanable.dirty.ratio': '0.001',
  'min.compaction.lag.ms': '0',
  'max.compaction.lag.ms': '500',
  'delete.retention.ms': '0',
}

type Row = [key: string | null, value: string | null]

function batchOf(...rows: Row[]): UnstampedBatch {
  const builder = new RecordBatchBuilder()
  for (const [key, value] of rows)
    builder.add(key === null ? null : Buffer.from(key), value === null ? null : Buffer.from(value))
  return builder.finish(1_790_000_000_000)
}

const value = (text: string): UnstampedBatch => batchOf(['k', text])

const textOf = (records: readonly LogRecord[]): string[] => records.map(r => String(r.value))
const recordsOf = (batches: readonly FetchedBatch[]): LogRecord[] => batches.flatMap(b => b.records)

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: FreshetError) => error.code ?? String(error),
  )
}

export function transportContract(
  name: string,
  make: () => Promise<TransportUnderTest>,
  hooks: TransportHooks = {},
): void {
  describe(`transport contract: ${name}`, () => {
    let transport: Transport
    const made: string[] = []
    const readers: LogReader[] = []

    beforeAll(async () => {
      transport = (await make()).transport
    })
    afterAll(async () => {
      for (const reader of readers) await reader.close()
      await transport?.topics.remove(made)
      await transport?.close()
    })

    async function topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
      const topic = `contract-${randomUUID()}`
      made.push(topic)
      const lasting = { 'retention.ms': '-1', ...config }
      await transport.topics.create([{ topic, partitions, config: lasting }])
      return topic
    }

    async function partition(config?: Record<string, string>): Promise<TopicPartition> {
      return { topic: await topic(1, config), partition: 0 }
    }

    function writer(producerId: bigint, epoch = 0): FencedWriter {
      return transport.writer({ producerId, epoch, deadlineMs: 30_000 })
    }

    const newWriter = async (epoch = 0): Promise<FencedWriter> =>
      writer(await transport.newProducerId(), epoch)

    function reader(...at: [TopicPartition, number][]): LogReader {
      const reader = transport.reader()
      readers.push(reader)
      for (const [where, offset] of at) reader.assign(where, offset)
      return reader
    }

    /** Reads from `offset` up to the high watermark. */
    async function readAll(at: TopicPartition, offset = 0): Promise<FetchedBatch[]> {
      const batches: FetchedBatch[] = []
      for (let position = offset; ; ) {
        const read = await transport.read(at, position, { maxWaitMs: 200 })
        batches.push(...read.batches)
        if (read.nextOffset >= read.highWatermark) return batches
        expect(read.nextOffset).toBeGreaterThan(position)
        position = read.nextOffset
      }
    }

    /** Polls until `count` records came. */
    async function pollFor(from: LogReader, count: number): Promise<FetchedBatch[]> {
      const batches: FetchedBatch[] = []
      while (recordsOf(batches).length < count) batches.push(...(await from.poll(500)))
      return batches
    }

    describe('append and read (T1, T4)', () => {
      it('gives a batch consecutive offsets and reads it back whole', async () => {
        const at = await partition()
        const w = await newWriter()
        expect(await w.append(at, batchOf(['a', '1'], ['b', '2'], ['c', null]))).toEqual({
          baseOffset: 0,
        })
        expect(await w.append(at, batchOf([null, '4'], [null, null]))).toEqual({ baseOffset: 3 })
        const batches = await readAll(at)
        expect(batches.map(b => [b.topic, b.partition, b.baseOffset, b.nextOffset])).toEqual([
          [at.topic, 0, 0, 3],
          [at.topic, 0, 3, 5],
        ])
        expect(batches.map(b => [b.producerId, b.producerEpoch])).toEqual([
          [w.producerId, 0],
          [w.producerId, 0],
        ])
        const seen = recordsOf(batches).map(r => [r.offset, r.key?.toString(), r.value?.toString()])
        expect(seen).toEqual([
          [0, 'a', '1'],
          [1, 'b', '2'],
          [2, 'c', undefined],
          [3, undefined, '4'],
          [4, undefined, undefined],
        ])
        expect(recordsOf(batches)[2].value).toBeNull()
        expect(recordsOf(batches)[3].key).toBeNull()
      })

      it('reads from the middle of a batch without the records before', async () => {
        const at = await partition()
        await (await newWriter()).append(at, batchOf(['a', '1'], ['b', '2'], ['c', '3']))
        const read = await transport.read(at, 1, { maxWaitMs: 5_000 })
        expect(textOf(recordsOf(read.batches))).toEqual(['2', '3'])
        expect(read).toMatchObject({ nextOffset: 3, highWatermark: 3, logStart: 0 })
      })

      it('answers a read at the end with nothing and the same position', async () => {
        const at = await partition()
        await (await newWriter()).append(at, value('x'))
        const read = await transport.read(at, 1, { maxWaitMs: 50 })
        expect(read).toMatchObject({ batches: [], nextOffset: 1, highWatermark: 1 })
      })

      it('waits in a read for what is appended meanwhile', async () => {
        const at = await partition()
        const w = await newWriter()
        const reading = transport.read(at, 0, { maxWaitMs: 20_000 })
        await w.append(at, value('late'))
        expect(textOf(recordsOf((await reading).batches))).toEqual(['late'])
      })

      it('keeps records, timestamps and headers as they were given', async () => {
        const at = await partition()
        const builder = new RecordBatchBuilder()
        const headers = [
          { key: 'topic', value: Buffer.from('events') },
          { key: 'é', value: Buffer.from([0, 255]) },
        ]
        builder.add(Buffer.from([0, 1, 255]), Buffer.alloc(0), headers, 1_790_000_000_500)
        builder.add(Buffer.from('k'), Buffer.from('v'), undefined, 1_790_000_000_123)
        await (await newWriter()).append(at, builder.finish(0))
        expect(recordsOf(await readAll(at))).toEqual([
          {
            offset: 0,
            timestamp: 1_790_000_000_500,
            key: Buffer.from([0, 1, 255]),
            value: Buffer.alloc(0),
            headers,
          },
          {
            offset: 1,
            timestamp: 1_790_000_000_123,
            key: Buffer.from('k'),
            value: Buffer.from('v'),
            headers: [],
          },
        ])
      })

      it('takes a batch of 2 MiB and reads it whole, however small the limit', async () => {
        const at = await partition({ 'max.message.bytes': String(8 << 20) })
        const builder = new RecordBatchBuilder()
        const block = Buffer.alloc(1024, 'x')
        for (let i = 0; builder.sizeBytes < 2 << 20; i++) builder.add(Buffer.from(`k${i}`), block)
        const { count } = builder
        const w = await newWriter()
        await w.append(at, builder.finish(1_790_000_000_000))
        await w.append(at, value('after'))
        const read = await transport.read(at, 0, { maxBytes: 1000, maxWaitMs: 5_000 })
        expect(read.batches[0].records).toHaveLength(count)
        expect(read.batches[0].records[count - 1].value?.equals(block)).toBe(true)
        expect(textOf(recordsOf(await pollFor(reader([at, 0]), count + 1))).at(-1)).toBe('after')
      })

      it('refuses a batch over max.message.bytes (ROW_TOO_LARGE)', async () => {
        const at = await partition({ 'max.message.bytes': '10000' })
        const w = await newWriter()
        await w.append(at, value('fits'))
        expect(await codeOf(w.append(at, value('x'.repeat(20_000))))).toBe('ROW_TOO_LARGE')
        expect(textOf(recordsOf(await readAll(at)))).toEqual(['fits'])
      })

      it('refuses a position beyond the end (POSITION_LOST)', async () => {
        const at = await partition()
        await (await newWriter()).append(at, value('x'))
        expect(await codeOf(transport.read(at, 2, { maxWaitMs: 100 }))).toBe('POSITION_LOST')
      })

      it('appends to several partitions at once', async () => {
        const name = await topic(3)
        const parts = [0, 1, 2].map(p => ({
          at: { topic: name, partition: p },
          batch: value(`v${p}`),
        }))
        const w = await newWriter()
        await w.appendAll(parts)
        await w.appendAll([{ at: parts[1].at, batch: value('again') }])
        const seen = await Promise.all(parts.map(async p => textOf(recordsOf(await readAll(p.at)))))
        expect(seen).toEqual([['v0'], ['v1', 'again'], ['v2']])
      })

      it('keeps the order of calls that were not awaited', async () => {
        const at = await partition()
        const w = await newWriter()
        const texts = Array.from({ length: 40 }, (_, i) => `v${i}`)
        const offsets = await Promise.all(texts.map(text => w.append(at, value(text))))
        expect(offsets.map(o => o.baseOffset)).toEqual(texts.map((_, i) => i))
        expect(textOf(recordsOf(await readAll(at)))).toEqual(texts)
      })

      it('passes over what compaction left empty and always gets on', async () => {
        const at = await partition(QUICK_COMPACTION)
        const w = await newWriter()
        for (let i = 0; i < 5; i++) await w.append(at, batchOf(['k', `k${i}`], ['own', `${i}`]))
        await w.append(at, batchOf(['gone', 'x'], ['stays', 'y'], ['gone', null]))
        let batches = await readAll(at)
        const compacted = (): boolean => {
          const values = textOf(recordsOf(batches))
          return !values.includes('k3') && !values.includes('x')
        }
        for (let i = 0; i < 200 && !compacted(); i++) {
          // a segment is closed by the next append that is dated later than `segment.ms` allows
          const tick = new RecordBatchBuilder()
          tick.add(Buffer.from('tick'), Buffer.from(String(i)))
          await w.append(at, tick.finish(1_790_000_001_000 + i * 1000))
          await new Promise(resolve => setTimeout(resolve, 500))
          batches = await readAll(at)
        }
        const records = recordsOf(batches)
        const newest = records.filter(r => String(r.key) === 'k').map(r => [r.offset, `${r.value}`])
        expect(newest).toEqual([[8, 'k4']])
        const stays = records.find(r => String(r.key) === 'stays')
        expect([stays?.offset, `${stays?.value}`]).toEqual([11, 'y'])
        const { start, end } = (await transport.topics.offsets([at]))[0]
        expect(start).toBe(0)
        expect(batches.at(-1)?.nextOffset).toBe(end)
        for (let offset = 0; offset < end; offset++) {
          const read = await transport.read(at, offset, { maxWaitMs: 5_000 })
          expect(read.nextOffset).toBeGreaterThan(offset)
          expect(recordsOf(read.batches).every(r => r.offset >= offset)).toBe(true)
        }
        const polled = await pollFor(reader([at, 0]), records.length)
        expect(recordsOf(polled).map(r => r.offset)).toEqual(records.map(r => r.offset))
      }, 170_000)
    })

    describe('one writer (T2, T3)', () => {
      it('refuses an older epoch where a newer one has written, and only there', async () => {
        const name = await topic(2)
        const [here, there] = [0, 1].map(p => ({ topic: name, partition: p }))
        const old = await newWriter(0)
        await old.append(here, value('old'))
        await writer(old.producerId, 1).append(here, value('new'))
        const untouched = writer(old.producerId, 0)
        expect(await untouched.append(there, value('elsewhere'))).toEqual({ baseOffset: 0 })
        expect(await codeOf(old.append(here, value('zombie')))).toBe('FENCED')
        expect(textOf(recordsOf(await readAll(here)))).toEqual(['old', 'new'])
      })

      it('keeps a fenced writer dead', async () => {
        const name = await topic(2)
        const at = { topic: name, partition: 0 }
        const old = await newWriter(4)
        await writer(old.producerId, 5).append(at, value('new'))
        expect(await codeOf(old.append(at, value('zombie')))).toBe('FENCED')
        expect(await codeOf(old.append({ topic: name, partition: 1 }, value('zombie')))).not.toBe(
          'no error',
        )
      })

      it('acknowledges a repetition with the offset of the first, and writes it once', async () => {
        const at = await partition()
        const first = await newWriter()
        await (await newWriter()).append(at, value('another'))
        await first.append(at, value('once'))
        // the same identity and sequence again: what a resend after a lost answer is to the broker
        const resend = writer(first.producerId, 0)
        expect(await resend.append(at, value('twice'))).toEqual({ baseOffset: 1 })
        expect(await first.append(at, value('next'))).toEqual({ baseOffset: 2 })
        expect(textOf(recordsOf(await readAll(at)))).toEqual(['another', 'once', 'next'])
      })

      it('lets one of two contenders win, though both are acknowledged', async () => {
        const at = await partition()
        const { producerId } = await newWriter()
        const offsets = await Promise.all(
          ['x', 'y'].map(owner => writer(producerId, 1).append(at, value(owner))),
        )
        expect(offsets).toEqual([{ baseOffset: 0 }, { baseOffset: 0 }])
        const log = textOf(recordsOf(await readAll(at)))
        expect(log).toHaveLength(1)
        expect(['x', 'y']).toContain(log[0])
      })

      it('refuses a sequence that does not follow', async () => {
        const at = await partition()
        const first = await newWriter()
        await first.append(at, value('a'))
        await first.append(at, value('b'))
        const other = writer(first.producerId, 0)
        expect(await codeOf(other.append(at, batchOf(['k', '1'], ['k', '2'], ['k', '3'])))).toBe(
          'FENCED',
        )
        expect(textOf(recordsOf(await readAll(at)))).toEqual(['a', 'b'])
      })

      it('gives producer ids that were never given before', async () => {
        const ids = await Promise.all(Array.from({ length: 5 }, () => transport.newProducerId()))
        expect(new Set(ids).size).toBe(5)
        expect(ids.every(id => id >= 0n)).toBe(true)
      })

      it('keeps the fence when the log below has been trimmed', async () => {
        const at = await partition()
        const old = await newWriter(0)
        await old.append(at, value('old'))
        const owner = writer(old.producerId, 1)
        await owner.append(at, value('own'))
        await owner.append(at, value('later'))
        await transport.topics.trim(at, 2)
        expect(await codeOf(old.append(at, value('zombie')))).toBe('FENCED')
        expect(await owner.append(at, value('goes on'))).toEqual({ baseOffset: 3 })
      })
    })

    describe('reader', () => {
      it('polls whole batches in offset order from several partitions', async () => {
        const name = await topic(2)
        const at = [0, 1].map(p => ({ topic: name, partition: p }))
        const w = await newWriter()
        for (let i = 0; i < 30; i++) await w.append(at[i % 2], batchOf(['a', `${i}`], ['b', 'x']))
        const batches = await pollFor(reader([at[0], 0], [at[1], 4]), 56)
        for (const p of [0, 1]) {
          const mine = batches.filter(b => b.partition === p)
          expect(mine.every(b => b.records.length === 2)).toBe(true)
          const from = p === 0 ? 0 : 4
          expect(recordsOf(mine).map(r => r.offset)).toEqual(
            Array.from({ length: 30 - from }, (_, i) => i + from),
          )
        }
      })

      it('wakes when something is appended, long before the wait is over', async () => {
        const at = await partition()
        const r = reader([at, 0])
        const polling = pollFor(r, 1)
        await (await newWriter()).append(at, value('news'))
        expect(textOf(recordsOf(await polling))).toEqual(['news'])
      })

      it('returns nothing after the wait', async () => {
        expect(await reader([await partition(), 0]).poll(50)).toEqual([])
        expect(await reader().poll(10)).toEqual([])
      })

      it('tells the high watermark once it has fetched', async () => {
        const at = await partition()
        const w = await newWriter()
        await w.append(at, batchOf(['a', '1'], ['a', '2']))
        const r = reader([at, 0])
        expect(r.highWatermark(at)).toBeUndefined()
        await pollFor(r, 2)
        expect(r.highWatermark(at)).toBe(2)
        await w.append(at, value('3'))
        await pollFor(r, 1)
        expect(r.highWatermark(at)).toBe(3)
      })

      it('gives nothing of a paused partition and all of it once resumed', async () => {
        const name = await topic(2)
        const at = [0, 1].map(p => ({ topic: name, partition: p }))
        const w = await newWriter()
        const r = reader([at[0], 0], [at[1], 0])
        r.pause(at[0])
        for (let i = 0; i < 3; i++)
          await w.appendAll(at.map(one => ({ at: one, batch: value(`${one.partition}:${i}`) })))
        expect(textOf(recordsOf(await pollFor(r, 3)))).toEqual(['1:0', '1:1', '1:2'])
        expect(await r.poll(100)).toEqual([])
        r.resume(at[0])
        expect(textOf(recordsOf(await pollFor(r, 3)))).toEqual(['0:0', '0:1', '0:2'])
      })

      it('forgets an unassigned partition and goes to the offset of a new assignment', async () => {
        const at = await partition()
        const w = await newWriter()
        for (const text of ['a', 'b', 'c']) await w.append(at, value(text))
        const r = reader([at, 0])
        await pollFor(r, 3)
        r.unassign(at)
        await w.append(at, value('d'))
        expect(await r.poll(100)).toEqual([])
        r.assign(at, 1)
        expect(textOf(recordsOf(await pollFor(r, 3)))).toEqual(['b', 'c', 'd'])
        r.assign(at, 3)
        expect(textOf(recordsOf(await pollFor(r, 1)))).toEqual(['d'])
      })

      it('stops waiting when it is closed', async () => {
        const r = reader([await partition(), 0])
        const polling = r.poll(60_000)
        await r.close()
        expect(await polling).toEqual([])
      }, 30_000)

      it('keeps two readers apart', async () => {
        const at = await partition()
        await (await newWriter()).append(at, value('a'))
        const [one, two] = [reader([at, 0]), reader([at, 0])]
        expect(textOf(recordsOf(await pollFor(one, 1)))).toEqual(['a'])
        expect(textOf(recordsOf(await pollFor(two, 1)))).toEqual(['a'])
      })
    })

    describe('topics', () => {
      it('makes what is missing, leaves what exists, passes over what is absent', async () => {
        const name = await topic(2)
        await transport.topics.create([{ topic: name, partitions: 5, config: {} }])
        const absent = `contract-${randomUUID()}`
        expect(await transport.topics.describe([name, absent])).toEqual(
          new Map([[name, { partitions: 2 }]]),
        )
        await transport.topics.remove([name, absent])
        let left = await transport.topics.describe([name])
        for (let i = 0; i < 100 && left.size > 0; i++) {
          await new Promise(resolve => setTimeout(resolve, 100))
          left = await transport.topics.describe([name])
        }
        expect(left.size).toBe(0)
      })

      it('tells start and end of each partition asked for', async () => {
        const name = await topic(2)
        const at = [1, 0].map(p => ({ topic: name, partition: p }))
        await (await newWriter()).append(at[0], batchOf(['a', '1'], ['b', '2']))
        expect(await transport.topics.offsets(at)).toEqual([
          { start: 0, end: 2 },
          { start: 0, end: 0 },
        ])
      })

      it('trims, also within a batch, and refuses positions below (POSITION_LOST)', async () => {
        const at = await partition()
        const w = await newWriter()
        await w.append(at, value('0'))
        await w.append(at, batchOf(['k', '1'], ['k', '2'], ['k', '3']))
        await transport.topics.trim(at, 2)
        expect(await transport.topics.offsets([at])).toEqual([{ start: 2, end: 4 }])
        expect(textOf(recordsOf(await readAll(at, 2)))).toEqual(['2', '3'])
        expect(await codeOf(transport.read(at, 1, { maxWaitMs: 100 }))).toBe('POSITION_LOST')
        const lost = reader([at, 0])
        const polling = (async () => {
          for (;;) await lost.poll(500)
        })()
        expect(await codeOf(polling)).toBe('POSITION_LOST')
        await transport.topics.trim(at, 4)
        expect(await transport.topics.offsets([at])).toEqual([{ start: 4, end: 4 }])
        expect(await w.append(at, value('4'))).toEqual({ baseOffset: 4 })
        expect(textOf(recordsOf(await readAll(at, 4)))).toEqual(['4'])
      })

      it('finds the first record at or after a time, and the end after the last', async () => {
        const at = await partition()
        const w = await newWriter()
        const t0 = 1_790_000_000_000
        for (const times of [[t0, t0 + 10], [t0 + 20], [t0 + 30, t0 + 40]]) {
          const builder = new RecordBatchBuilder()
          for (const time of times) builder.add(Buffer.from('k'), Buffer.from('v'), undefined, time)
          await w.append(at, builder.finish(0))
        }
        const asked = [0, t0, t0 + 1, t0 + 10, t0 + 15, t0 + 31, t0 + 40, t0 + 41]
        const found = await Promise.all(asked.map(time => transport.topics.offsetAt(at, time)))
        expect(found).toEqual([0, 0, 1, 1, 2, 4, 4, 5])
      })
    })

    describe('publisher', () => {
      it("sends each key to the partition of Java's murmur2, in order", async () => {
        const name = await topic(5)
        const keys = ['21', 'foobar', 'a-little-bit-long-string', 'abc', 'u1', 'é', '']
        const records = Array.from({ length: 70 }, (_, i) => ({
          key: Buffer.from(keys[i % keys.length]),
          value: Buffer.from(String(i)),
        }))
        const publisher = transport.publisher()
        await publisher.send(name, records.slice(0, 50))
        await publisher.send(name, records.slice(50))
        const seen: string[] = []
        for (let p = 0; p < 5; p++) {
          const got = recordsOf(await readAll({ topic: name, partition: p }))
          const mine = records.filter(r => partitionOf(r.key, 5) === p)
          expect(textOf(got)).toEqual(mine.map(r => String(r.value)))
          seen.push(...textOf(got))
        }
        expect(seen).toHaveLength(70)
        await publisher.close()
      })

      it('keeps headers, timestamps, tombstones and a given partition', async () => {
        const name = await topic(3)
        const publisher = transport.publisher()
        const timestamp = 1_790_000_000_000
        await publisher.send(name, [
          {
            key: Buffer.from('k'),
            value: null,
            headers: { code: 'LATE' },
            timestamp,
            partition: 2,
          },
          { key: null, value: Buffer.from('v'), partition: 2 },
        ])
        const [first, second] = recordsOf(await readAll({ topic: name, partition: 2 }))
        expect(first).toEqual({
          offset: 0,
          timestamp,
          key: Buffer.from('k'),
          value: null,
          headers: [{ key: 'code', value: Buffer.from('LATE') }],
        })
        expect([second.key, String(second.value)]).toEqual([null, 'v'])
        expect(second.timestamp).toBeGreaterThan(0)
        await publisher.close()
      })

      it('refuses a record over max.message.bytes and sends the others', async () => {
        const at = await partition({ 'max.message.bytes': '10000' })
        const publisher = transport.publisher()
        const sizes = [1, 9_000, 20_000, 2, 3]
        const records = sizes.map(n => ({ key: Buffer.from('k'), value: Buffer.alloc(n, 'x') }))
        expect(await codeOf(publisher.send(at.topic, records))).toBe('ROW_TOO_LARGE')
        const sent = recordsOf(await readAll(at)).map(r => r.value?.length)
        expect(sent).toEqual([1, 9_000, 2, 3])
        await publisher.close()
      })

      it('sends keyless records somewhere', async () => {
        const name = await topic(2)
        const publisher = transport.publisher()
        await publisher.send(name, [{ key: null, value: Buffer.from('v') }])
        const ends = await transport.topics.offsets([
          { topic: name, partition: 0 },
          { topic: name, partition: 1 },
        ])
        expect(ends[0].end + ends[1].end).toBe(1)
        await publisher.close()
      })
    })

    describe('membership', () => {
      it('assigns every task, takes offsets and lets go', async () => {
        const name = await topic(3)
        const tasks: TaskId[] = [
          ...[0, 1, 2].map(p => ({ kind: 'user', partition: p })),
          { kind: 'global', partition: 0 },
        ]
        let assigned = (_: readonly TaskId[]): void => {}
        const whole = new Promise<readonly TaskId[]>(resolve => {
          assigned = given => {
            if (given.length === tasks.length) resolve(given)
          }
        })
        const member = await transport.join({
          groupId: `contract-${randomUUID()}`,
          clientId: 'contract',
          sessionTimeoutMs: 10_000,
          tasks: async () => tasks,
          topicsOf: kind => (kind === 'user' ? [name] : []),
          onRebalance: async () => {},
          onAssigned: async given => assigned(given),
          onLost: async () => {},
        })
        const order = (a: TaskId, b: TaskId): number =>
          a.kind.localeCompare(b.kind) || a.partition - b.partition
        expect([...(await whole)].sort(order)).toEqual([...tasks].sort(order))
        await member.commitOffsets([{ at: { topic: name, partition: 1 }, offset: 0 }])
        await member.leave()
      })
    })

    it('waits for nothing while all is well', () => {
      expect(transport.waiting()).toBeUndefined()
    })

    const { abortedTransaction, outage, reopen } = hooks
    if (abortedTransaction)
      it('never shows an aborted transaction (T5)', async () => {
        const at = await partition()
        const w = await newWriter()
        await w.append(at, value('before'))
        await abortedTransaction(at, Buffer.from('aborted'))
        await w.append(at, value('after'))
        await abortedTransaction(at, Buffer.from('aborted too'))
        expect(textOf(recordsOf(await readAll(at)))).toEqual(['before', 'after'])
        expect(textOf(recordsOf(await readAll(at, 1)))).toEqual(['after'])
        expect(textOf(recordsOf(await pollFor(reader([at, 0]), 2)))).toEqual(['before', 'after'])
      })

    if (outage)
      it('waits through an outage, visibly, and loses and doubles nothing (T6)', async () => {
        const at = await partition()
        const w = transport.writer({
          producerId: await transport.newProducerId(),
          epoch: 0,
          deadlineMs: 120_000,
        })
        await w.append(at, value('before'))
        const r = reader([at, 0])
        const seen = textOf(recordsOf(await pollFor(r, 1)))
        let appended: Promise<unknown> = Promise.resolve()
        await outage(async () => {
          appended = w.append(at, value('during'))
          appended.catch(() => {})
          while (transport.waiting() === undefined) await r.poll(200)
        })
        await appended
        await w.append(at, value('after'))
        seen.push(...textOf(recordsOf(await pollFor(r, 2))))
        expect(seen).toEqual(['before', 'during', 'after'])
        expect(transport.waiting()).toBeUndefined()
      }, 170_000)

    if (reopen)
      it('keeps records, log starts, fences and producer ids when opened anew', async () => {
        const name = await topic(2)
        const at = { topic: name, partition: 0 }
        const old = await newWriter(0)
        const id = await transport.newProducerId()
        await old.append(at, value('a'))
        const owner = writer(old.producerId, 1)
        await owner.append(at, value('b'))
        await owner.append(at, value('c'))
        await transport.topics.trim(at, 1)
        transport = await reopen(transport)
        expect(await transport.topics.describe([name])).toEqual(
          new Map([[name, { partitions: 2 }]]),
        )
        expect(await transport.topics.offsets([at])).toEqual([{ start: 1, end: 3 }])
        expect(textOf(recordsOf(await readAll(at, 1)))).toEqual(['b', 'c'])
        expect(await codeOf(writer(old.producerId, 0).append(at, value('zombie')))).toBe('FENCED')
        // the first batch of epoch 1 again: a repetition still
        expect(await writer(old.producerId, 1).append(at, value('b'))).toEqual({ baseOffset: 1 })
        expect(await writer(old.producerId, 2).append(at, value('d'))).toEqual({ baseOffset: 3 })
        expect(await transport.newProducerId()).not.toBe(id)
      })
  })
}
