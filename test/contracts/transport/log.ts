/** The transport contract's part on appending and reading (T1, T4). */
import { describe, expect, it } from 'vitest'
import { RecordBatchBuilder } from '../../../streams/transport/record-batch.ts'
import { batchOf, codeOf, type Harness, recordsOf, textOf, value } from './harness.ts'

const QUICK_COMPACTION = {
  'cleanup.policy': 'compact',
  'segment.ms': '400',
  'min.cleanable.dirty.ratio': '0.001',
  'min.compaction.lag.ms': '0',
  'max.compaction.lag.ms': '500',
  'delete.retention.ms': '0',
}

export function logContract(h: Harness): void {
  const { topic, partition, newWriter, reader, readAll, pollFor } = h

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
      const read = await h.transport.read(at, 1, { maxWaitMs: 5_000 })
      expect(textOf(recordsOf(read.batches))).toEqual(['2', '3'])
      expect(read).toMatchObject({ nextOffset: 3, highWatermark: 3, logStart: 0 })
    })

    it('answers a read at the end with nothing and the same position', async () => {
      const at = await partition()
      await (await newWriter()).append(at, value('x'))
      const read = await h.transport.read(at, 1, { maxWaitMs: 50 })
      expect(read).toMatchObject({ batches: [], nextOffset: 1, highWatermark: 1 })
    })

    it('waits in a read for what is appended meanwhile', async () => {
      const at = await partition()
      const w = await newWriter()
      const reading = h.transport.read(at, 0, { maxWaitMs: 20_000 })
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
      const read = await h.transport.read(at, 0, { maxBytes: 1000, maxWaitMs: 5_000 })
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
      expect(await codeOf(h.transport.read(at, 2, { maxWaitMs: 100 }))).toBe('POSITION_LOST')
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
      const { start, end } = (await h.transport.topics.offsets([at]))[0]
      expect(start).toBe(0)
      expect(batches.at(-1)?.nextOffset).toBe(end)
      for (let offset = 0; offset < end; offset++) {
        const read = await h.transport.read(at, offset, { maxWaitMs: 5_000 })
        expect(read.nextOffset).toBeGreaterThan(offset)
        expect(recordsOf(read.batches).every(r => r.offset >= offset)).toBe(true)
      }
      const polled = await pollFor(reader([at, 0]), records.length)
      expect(recordsOf(polled).map(r => r.offset)).toEqual(records.map(r => r.offset))
    }, 170_000)
  })
}
