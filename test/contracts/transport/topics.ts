/** The transport contract's part on topics and on publishing to outsiders. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { partitionOf } from '../../../streams/serde/hash.ts'
import { RecordBatchBuilder } from '../../../streams/transport/record-batch.ts'
import { batchOf, codeOf, type Harness, recordsOf, textOf, value } from './harness.ts'

export function topicsContract(h: Harness): void {
  const { topic, partition, newWriter, reader, readAll } = h

  describe('topics', () => {
    it('makes what is missing, leaves what exists, passes over what is absent', async () => {
      const name = await topic(2)
      await h.transport.topics.create([{ topic: name, partitions: 5, config: {} }])
      const absent = `contract-${randomUUID()}`
      expect(await h.transport.topics.describe([name, absent])).toEqual(
        new Map([[name, { partitions: 2 }]]),
      )
      await h.transport.topics.remove([name, absent])
      let left = await h.transport.topics.describe([name])
      for (let i = 0; i < 100 && left.size > 0; i++) {
        await new Promise(resolve => setTimeout(resolve, 100))
        left = await h.transport.topics.describe([name])
      }
      expect(left.size).toBe(0)
    })

    it('tells start and end of each partition asked for', async () => {
      const name = await topic(2)
      const at = [1, 0].map(p => ({ topic: name, partition: p }))
      await (await newWriter()).append(at[0], batchOf(['a', '1'], ['b', '2']))
      expect(await h.transport.topics.offsets(at)).toEqual([
        { start: 0, end: 2 },
        { start: 0, end: 0 },
      ])
    })

    it('trims, also within a batch, and refuses positions below (POSITION_LOST)', async () => {
      const at = await partition()
      const w = await newWriter()
      await w.append(at, value('0'))
      await w.append(at, batchOf(['k', '1'], ['k', '2'], ['k', '3']))
      await h.transport.topics.trim(at, 2)
      expect(await h.transport.topics.offsets([at])).toEqual([{ start: 2, end: 4 }])
      expect(textOf(recordsOf(await readAll(at, 2)))).toEqual(['2', '3'])
      expect(await codeOf(h.transport.read(at, 1, { maxWaitMs: 100 }))).toBe('POSITION_LOST')
      const lost = reader([at, 0])
      const polling = (async () => {
        for (;;) await lost.poll(500)
      })()
      expect(await codeOf(polling)).toBe('POSITION_LOST')
      await h.transport.topics.trim(at, 4)
      expect(await h.transport.topics.offsets([at])).toEqual([{ start: 4, end: 4 }])
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
      const found = await Promise.all(asked.map(time => h.transport.topics.offsetAt(at, time)))
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
      const publisher = h.transport.publisher()
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
      const publisher = h.transport.publisher()
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
      const publisher = h.transport.publisher()
      const sizes = [1, 9_000, 20_000, 2, 3]
      const records = sizes.map(n => ({ key: Buffer.from('k'), value: Buffer.alloc(n, 'x') }))
      expect(await codeOf(publisher.send(at.topic, records))).toBe('ROW_TOO_LARGE')
      const sent = recordsOf(await readAll(at)).map(r => r.value?.length)
      expect(sent).toEqual([1, 9_000, 2, 3])
      await publisher.close()
    })

    it('sends keyless records somewhere', async () => {
      const name = await topic(2)
      const publisher = h.transport.publisher()
      await publisher.send(name, [{ key: null, value: Buffer.from('v') }])
      const ends = await h.transport.topics.offsets([
        { topic: name, partition: 0 },
        { topic: name, partition: 1 },
      ])
      expect(ends[0].end + ends[1].end).toBe(1)
      await publisher.close()
    })
  })
}
