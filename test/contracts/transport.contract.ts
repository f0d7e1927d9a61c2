/**
 * The transport port's contract: T1 to T6 of `streams/transport/port.ts` and what its comments promise. Every adapter
 * runs it; a new one is done when it passes. Topics get a fresh name each, so one broker serves many runs.
 */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { TaskId, TopicPartition, Transport } from '../../streams/transport/port.ts'
import {
  codeOf,
  harness,
  recordsOf,
  type TransportUnderTest,
  textOf,
  value,
} from './transport/harness.ts'
import { logContract } from './transport/log.ts'
import { readerContract } from './transport/reader.ts'
import { topicsContract } from './transport/topics.ts'
import { writerContract } from './transport/writer.ts'

/** What only some adapters can be put through. */
export interface TransportHooks {
  /** Closes the transport and opens it anew over the same data. */
  reopen?(current: Transport): Promise<Transport>
  /** An outside producer writes the value in a transaction and aborts it (T5). */
  abortedTransaction?(at: TopicPartition, value: Buffer): Promise<void>
  /** Makes the broker unreachable while `during` runs, and reachable before it resolves (T6). */
  outage?(during: () => Promise<void>): Promise<void>
}

export function transportContract(
  name: string,
  make: () => Promise<TransportUnderTest>,
  hooks: TransportHooks = {},
): void {
  describe(`transport contract: ${name}`, () => {
    const h = harness(make)
    const { topic, partition, writer, newWriter, reader, readAll, pollFor } = h

    logContract(h)
    writerContract(h)
    readerContract(h)
    topicsContract(h)

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
        const member = await h.transport.join({
          groupId: `contract-${randomUUID()}`,
          clientId: 'contract',
          sessionTimeoutMs: 10_000,
          identity: 't.g1',
          tasks: async () => tasks,
          topicsOf: kind => (kind === 'user' ? [name] : []),
          onRebalance: async () => {},
          onAssigned: async given => assigned(given),
          onLost: async () => {},
          onRefused: () => {},
        })
        const order = (a: TaskId, b: TaskId): number =>
          a.kind.localeCompare(b.kind) || a.partition - b.partition
        expect([...(await whole)].sort(order)).toEqual([...tasks].sort(order))
        await member.commitOffsets([{ at: { topic: name, partition: 1 }, offset: 0 }])
        await member.leave()
      })
    })

    it('waits for nothing while all is well', () => {
      expect(h.transport.waiting()).toBeUndefined()
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
        const w = h.transport.writer({
          producerId: await h.transport.newProducerId(),
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
          while (h.transport.waiting() === undefined) await r.poll(200)
        })
        await appended
        await w.append(at, value('after'))
        seen.push(...textOf(recordsOf(await pollFor(r, 2))))
        expect(seen).toEqual(['before', 'during', 'after'])
        // each connection finds out by its next try that the brokers are back
        for (let i = 0; i < 100 && h.transport.waiting() !== undefined; i++) await r.poll(200)
        expect(h.transport.waiting()).toBeUndefined()
      }, 170_000)

    if (reopen)
      it('keeps records, log starts, fences and producer ids when opened anew', async () => {
        const name = await topic(2)
        const at = { topic: name, partition: 0 }
        const old = await newWriter(0)
        const id = await h.transport.newProducerId()
        await old.append(at, value('a'))
        const owner = writer(old.producerId, 1)
        await owner.append(at, value('b'))
        await owner.append(at, value('c'))
        await h.transport.topics.trim(at, 1)
        h.replace(await reopen(h.transport))
        expect(await h.transport.topics.describe([name])).toEqual(
          new Map([[name, { partitions: 2 }]]),
        )
        expect(await h.transport.topics.offsets([at])).toEqual([{ start: 1, end: 3 }])
        expect(textOf(recordsOf(await readAll(at, 1)))).toEqual(['b', 'c'])
        expect(await codeOf(writer(old.producerId, 0).append(at, value('zombie')))).toBe('FENCED')
        // the first batch of epoch 1 again: a repetition still
        expect(await writer(old.producerId, 1).append(at, value('b'))).toEqual({ baseOffset: 1 })
        expect(await writer(old.producerId, 2).append(at, value('d'))).toEqual({ baseOffset: 3 })
        expect(await h.transport.newProducerId()).not.toBe(id)
      })
  })
}
