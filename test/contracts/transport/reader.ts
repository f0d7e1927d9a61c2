/** The transport contract's part on readers of many partitions. */
import { describe, expect, it } from 'vitest'
import { batchOf, type Harness, recordsOf, textOf, value } from './harness.ts'

export function readerContract(h: Harness): void {
  const { topic, partition, newWriter, reader, pollFor } = h

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

    it('fetches the others however much was fetched of those that are paused', async () => {
      const name = await topic(8)
      const at = Array.from({ length: 8 }, (_, p) => ({ topic: name, partition: p }))
      const w = await newWriter()
      const large = 'x'.repeat(900_000)
      for (const one of at) for (let i = 0; i < 2; i++) await w.append(one, value(large))
      const other = await partition()
      await w.append(other, value('other'))
      const r = reader(...at.map((one): [typeof one, number] => [one, 0]))
      // long enough to fetch as much as it will before anyone polls
      await new Promise(resolve => setTimeout(resolve, 1500))
      for (const one of at) r.pause(one)
      r.assign(other, 0)
      expect(textOf(recordsOf(await pollFor(r, 1)))).toEqual(['other'])
      for (const one of at) r.resume(one)
      expect(recordsOf(await pollFor(r, 16))).toHaveLength(16)
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
}
