/**
 * Bugs put into the runtime from outside, one at a time, to see that the simulation finds them. Each wraps a seam (the
 * transport, a sink's rule, the broker's) or a method of a runtime class; `undo` takes it out again.
 */
import { DELTAS, TaskCore } from '../../streams/runtime/core.ts'
import { Lease } from '../../streams/runtime/lease.ts'
import { decodePacket } from '../../streams/runtime/packet.ts'
import { ShownMark } from '../../streams/runtime/shown-mark.ts'
import { TableBlocks } from '../../streams/runtime/table-blocks.ts'
import { Task } from '../../streams/runtime/task.ts'
import type { FencedWriter, LogRecord, Transport } from '../../streams/transport/port.ts'
import {
  decodeRecordSet,
  RecordBatchBuilder,
  type UnstampedBatch,
} from '../../streams/transport/record-batch.ts'
import { MINUTE_MS, type Plan } from './faults.ts'
import type { Options } from './world.ts'

export interface Planted {
  readonly options: Options
  readonly undo: () => void
}

type Method = (...args: unknown[]) => unknown

/** Puts `make(original)` in the place of a method. */
function replace(of: object, name: string, make: (original: Method) => Method): () => void {
  const prototype = of as Record<string, Method>
  const original = prototype[name]
  if (typeof original !== 'function')
    throw new Error(`there is no method ${name} to plant a bug in`)
  prototype[name] = make(original)
  return () => {
    prototype[name] = original
  }
}

const only = (options: Options): Planted => ({ options, undo: () => undefined })
const patch = (undo: () => void, options: Options = {}): Planted => ({ options, undo })

const isChangelog = (topic: string): boolean => topic.endsWith('-changelog')

/** A transport whose writers' `append` to changelogs is another one. */
function changelogAppend(
  append: (
    writer: FencedWriter,
    at: Parameters<FencedWriter['append']>[0],
    batch: UnstampedBatch,
  ) => Promise<{ baseOffset: number }>,
): (transport: Transport) => Transport {
  return transport =>
    wrap(transport, {
      writer: identity => {
        const writer = transport.writer(identity)
        return wrap(writer, {
          append: (at, batch) =>
            isChangelog(at.topic) ? append(writer, at, batch) : writer.append(at, batch),
        })
      },
    })
}

/** The object with some of its members replaced. */
function wrap<T extends object>(inner: T, over: Partial<T>): T {
  return new Proxy(inner, {
    get: (target, key) => {
      const value = key in over ? over[key as keyof T] : target[key as keyof T]
      return typeof value === 'function' ? value.bind(key in over ? over : target) : value
    },
  })
}

const recordsOf = (batch: UnstampedBatch): LogRecord[] =>
  decodeRecordSet(Buffer.from(batch.stamp(1n, 0, 0)), 'planted', 0, 0).batches[0].records

function batchOf(records: readonly LogRecord[]): UnstampedBatch {
  const builder = new RecordBatchBuilder()
  for (const { key, value } of records) builder.add(key, value)
  return builder.finish(records[0].timestamp)
}

/** Schedules in which a process sleeps through a producer id's expiry. */
const withGap = (plan: Plan): Plan => ({
  ...plan,
  gapMs: 80 * MINUTE_MS,
  producerExpiryMs: 20 * MINUTE_MS,
})

/** Schedules in which the view store loses everything now and then. */
const withEmptying = (plan: Plan): Plan => ({
  ...plan,
  acts: [...new Set([...plan.acts, 'empty views' as const])],
})

export const plants: Readonly<Record<string, () => Planted>> = {
  'the fence: every epoch is let in': () =>
    only({
      world: world => {
        world.broker.rules.fence = false
      },
    }),
  'the outbox is not delivered again at a takeover': () =>
    patch(
      replace(
        TaskCore.prototype,
        'restored',
        original =>
          function (this: unknown) {
            return { ...(original.call(this) as object), packets: [], records: [] }
          },
      ),
    ),
  'a commit is two batches: rows, then the commit record': () =>
    only({
      transport: changelogAppend(async (writer, at, batch) => {
        const records = recordsOf(batch)
        if (records.length < 2) return writer.append(at, batch)
        const first = await writer.append(at, batchOf(records.slice(0, -1)))
        await writer.append(at, batchOf(records.slice(-1)))
        return first
      }),
    }),
  'a receiver ignores the numbers of packets': () =>
    patch(
      replace(
        TaskCore.prototype,
        'takePacket',
        original =>
          function (this: unknown, record: unknown) {
            const { key, value } = record as LogRecord
            if (key === null) {
              const { source, number } = decodePacket(value, 'planted')
              const applied = Reflect.get(this as object, 'applied') as {
                bySource: Map<string, { number: number }>
              }
              const last = applied.bySource.get(source)
              if (last && last.number >= number)
                applied.bySource.set(source, { ...last, number: number - 1 })
            }
            return original.call(this, record)
          },
      ),
    ),
  'the view store ignores versions': () =>
    only({
      world: world => {
        world.views.comparesVersions = false
      },
    }),
  'a task goes on after it was revoked': () =>
    patch(replace(Task.prototype, 'close', () => () => Promise.resolve())),
  'the ownership record is not read back: any acknowledgement counts': () =>
    only({
      transport: transport => {
        const mine = new Map<string, LogRecord>()
        const writing = changelogAppend(async (writer, at, batch) => {
          const [record] = recordsOf(batch)
          const answer = await writer.append(at, batch)
          if (record.key?.[1] === 1)
            mine.set(`${at.topic}-${at.partition}@${answer.baseOffset}`, record)
          return answer
        })(transport)
        return wrap(writing, {
          read: async (at, offset, limits) => {
            const found = await transport.read(at, offset, limits)
            const own = mine.get(`${at.topic}-${at.partition}@${offset}`)
            const batches = found.batches.map((batch, i) =>
              own && i === 0 ? { ...batch, records: [{ ...own, offset }] } : batch,
            )
            return { ...found, batches }
          },
        })
      },
    }),
  'positions are committed ahead of rows': () =>
    patch(
      replace(
        TaskCore.prototype,
        'commit',
        original =>
          function (this: unknown, ...args: unknown[]) {
            const core = this as TaskCore
            const at = core.position('text')
            if (at !== undefined && at % 5 === 1) core.advance('text', at + 1)
            return original.apply(this, args)
          },
      ),
    ),
  'idle owners do not touch their changelog, and trust their own clock': () => {
    const undo = replace(
      TaskCore.prototype,
      'commit',
      original =>
        function (this: unknown) {
          return original.call(this, false)
        },
    )
    const undoLease = replace(Lease.prototype, 'check', () => () => undefined)
    return patch(
      () => {
        undo()
        undoLease()
      },
      { plan: withGap },
    )
  },
  'who slept between two tries of an append sends it again': () =>
    only({
      plan: plan => ({
        ...withGap(plan),
        epoch: 32_765,
        acts: ['broker away', 'cut a worker off'],
        actEveryMs: 60,
        lost: 0.1,
        crash: 0,
        cut: 0.006,
        freeze: 0.002,
      }),
      world: world => {
        world.network.looksAtDeadlines = false
      },
    }),
  'effects leave before the batch is acknowledged': () =>
    only({
      transport: changelogAppend((writer, at, batch) => {
        const [record] = recordsOf(batch)
        const done = writer.append(at, batch)
        if (record.key?.[1] === 1) return done
        done.catch(() => undefined)
        return Promise.resolve({ baseOffset: 0 })
      }),
    }),
  'a batch whose acknowledgement was lost is sent again under the next sequence': () =>
    only({
      transport: changelogAppend(async (writer, at, batch) => {
        const records = recordsOf(batch)
        const answer = await writer.append(at, batch)
        if (records.length > 1 && answer.baseOffset % 9 === 0)
          await writer.append(at, batchOf(records))
        return answer
      }),
    }),
  'a table block is removed before its rows are stored': () =>
    patch(
      replace(
        TableBlocks.prototype,
        'addTo',
        original =>
          function (this: unknown, ...args: unknown[]) {
            const blocks = original.apply(this, args) as { number: number }[]
            for (const { number } of blocks) (this as TableBlocks).delivered(number)
            return blocks
          },
      ),
    ),
  'table blocks are forgotten at a restore': () =>
    patch(replace(TableBlocks.prototype, 'restore', () => () => undefined)),
  'two openings of a line both count: a void record is not told': () =>
    only({
      transport: transport =>
        wrap(transport, {
          read: async (at, offset, limits) => {
            const found = await transport.read(at, offset, limits)
            const batches = found.batches.map(batch => ({
              ...batch,
              records: batch.records.map(record =>
                record.key?.[0] === 0 && record.key[1] === 1 && record.value
                  ? { ...record, value: withoutOpensAt(record.value) }
                  : record,
              ),
            }))
            return { ...found, batches }
          },
        }),
    }),
  'an emptied view store is not filled again': () =>
    patch(
      replace(TaskCore.prototype, 'refill', () => () => undefined),
      { plan: withEmptying },
    ),
  'a refill counts as done with its first commit': () =>
    patch(
      replace(
        TaskCore.prototype,
        'commit',
        original =>
          function (this: unknown, ...args: unknown[]) {
            const commit = original.apply(this, args) as object | undefined
            return commit && { ...commit, refilled: true }
          },
      ),
      { plan: withEmptying },
    ),
  'an idle owner does not look for its mark': () =>
    patch(
      replace(ShownMark.prototype, 'look', () => () => undefined),
      { plan: withEmptying },
    ),
  'positions of deltas are not restored': () =>
    patch(
      replace(
        TaskCore.prototype,
        'restored',
        original =>
          function (this: unknown) {
            const effects = original.call(this)
            const positions = Reflect.get(this as object, 'positions') as Map<string, number>
            positions.delete(DELTAS)
            return effects
          },
      ),
    ),
  'a removed row leaves no tombstone': () =>
    only({
      transport: changelogAppend((writer, at, batch) => {
        const records = recordsOf(batch).filter(({ key, value }) => key?.[0] === 0 || value)
        return writer.append(at, batchOf(records))
      }),
    }),
}

function withoutOpensAt(value: Buffer): Buffer {
  const { opensAt: _, ...rest } = JSON.parse(value.toString()) as Record<string, unknown>
  return Buffer.from(JSON.stringify(rest))
}
