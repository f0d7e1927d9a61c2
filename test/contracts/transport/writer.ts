/** The transport contract's part on fenced writers (T2, T3). */
import { describe, expect, it } from 'vitest'
import { batchOf, codeOf, type Harness, recordsOf, textOf, value } from './harness.ts'

export function writerContract(h: Harness): void {
  const { topic, partition, writer, newWriter, readAll } = h

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
      const ids = await Promise.all(Array.from({ length: 5 }, () => h.transport.newProducerId()))
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
      await h.transport.topics.trim(at, 2)
      expect(await codeOf(old.append(at, value('zombie')))).toBe('FENCED')
      expect(await owner.append(at, value('goes on'))).toEqual({ baseOffset: 3 })
    })
  })
}
