import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toyApplication } from '../../test/support/toy-application.ts'
import { FreshetError } from '../errors.ts'
import { silentLogger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { Stage } from '../topology/stage.ts'
import { Store } from '../topology/store.ts'
import type { FetchedBatch, LogRecord } from '../transport/port.ts'
import { decodeRecordSet, type UnstampedBatch } from '../transport/record-batch.ts'
import { type Commit, DELTAS, TaskCore } from './core.ts'
import { encodePacket } from './packet.ts'

function core(
  kind: 'words' | 'totals',
  partition = 0,
  more: Stage[] = [],
  wall = 1_800_000_000_000,
): TaskCore {
  const application = toyApplication()
  const found = application.kinds.find(k => k.name === kind)
  if (!found) throw new Error(kind)
  return new TaskCore({
    kind: {
      ...found,
      create: ctx => {
        const logic = found.create(ctx)
        return { ...logic, stages: [...logic.stages, ...more] }
      },
    },
    partition,
    generation: 1,
    outsideName: topic => `t.${topic}`,
    partitionsOf: () => 2,
    now: () => 1_800_000_000_000,
    wall: () => wall,
    table: <T>() => undefined as T,
    metrics: noMetrics,
    log: silentLogger,
  })
}

const record = (offset: number, value: string): LogRecord => ({
  offset,
  timestamp: 1_800_000_000_000 + offset,
  key: Buffer.from('k'),
  value: Buffer.from(value),
  headers: [],
})

/** The batch as a reader of the changelog gets it. */
function asFetched(batch: UnstampedBatch, baseOffset: number): FetchedBatch {
  const bytes = Buffer.from(batch.stamp(1n, 0, 0))
  bytes.writeBigInt64BE(BigInt(baseOffset), 0)
  return decodeRecordSet(bytes, 'changelog', 0, baseOffset).batches[0]
}

const packetOf = (generation: number, source: string, number: number): Buffer =>
  encodePacket({ generation, source, number, bornAt: 1_800_000_000_000, token: 0 }, [])

class Log {
  readonly batches: FetchedBatch[] = []
  private end = 1
  append(commit: Commit | undefined): void {
    if (!commit) return
    const fetched = asFetched(commit.batch, this.end)
    this.batches.push(fetched)
    this.end = fetched.nextOffset
  }
}

describe('a task core', () => {
  it('C1: makes one batch of dirty rows with the commit record last', () => {
    const task = core('words')
    task.process('text', record(0, 'a'))
    task.process('text', record(1, 'b'))
    task.process('text', record(2, 'a'))
    const commit = task.commit()
    const fetched = asFetched((commit as Commit).batch, 10)
    const keys = fetched.records.map(r => r.key?.toString('latin1'))
    expect(keys).toEqual(['\x01a', '\x01b', '\x00\x03\x01', '\x00\x02'])
    expect(commit?.positions.get('text')).toBe(3)
    expect(task.commit()).toBeUndefined()
  })

  it('goes on exactly where a restore from its changelog left it, at any point', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'b', 'c', 'bad1', 'commit', 'crash'), { maxLength: 60 }),
        steps => {
          const log = new Log()
          let task = core('words')
          const input: string[] = []
          let offset = 0
          const effects: Commit[] = []
          const commit = (): void => {
            const made = task.commit()
            log.append(made)
            if (made) effects.push(made)
          }
          for (const step of steps) {
            if (step === 'commit') commit()
            else if (step === 'crash') {
              task = core('words')
              for (const batch of log.batches) task.restoreBatch(batch)
              task.restored()
              offset = task.position('text') ?? 0
            } else {
              if (offset === input.length) input.push(step)
              task.process('text', record(offset, input[offset]))
              offset++
            }
          }
          for (; offset < input.length; offset++)
            task.process('text', record(offset, input[offset]))
          commit()
          // rows that left for the table, each once: a recount of the input
          const seen = new Map<string, number>()
          for (const { effects: e } of effects)
            for (const block of e.blocks)
              for (const row of block.rows ?? [])
                seen.set(String(row.word), (seen.get(String(row.word)) ?? 0) + Number(row.n))
          const expected = new Map<string, number>()
          for (const word of input)
            if (!word.startsWith('bad')) expected.set(word, (expected.get(word) ?? 0) + 1)
          expect(new Map([...seen].sort())).toEqual(new Map([...expected].sort()))
        },
      ),
    )
  })

  it('C3: gives the last outbox again after a restore, and table blocks until they are acknowledged', () => {
    const log = new Log()
    const task = core('words')
    task.process('text', record(0, 'a'))
    task.process('text', record(1, 'bad'))
    const first = task.commit()
    log.append(first)
    task.process('text', record(2, 'b'))
    const second = task.commit()
    log.append(second)
    task.blockDelivered((first as Commit).effects.blocks[0].number)
    task.process('text', record(3, 'b'))
    const third = task.commit()
    log.append(third)

    const restored = core('words')
    for (const batch of log.batches) restored.restoreBatch(batch)
    const effects = restored.restored()
    expect(effects.packets).toEqual(third?.effects.packets)
    expect(effects.records).toEqual([])
    expect(effects.blocks.map(b => b.number)).toEqual([2, 3])
    expect(restored.commit(true)?.effects.views.map(v => v.key)).toEqual(['word:b'])
  })

  it('C4: takes each packet once, in order, and stops on a gap or another generation', () => {
    const sender = core('words', 1)
    sender.process('text', record(0, 'a'))
    const packet = (sender.commit() as Commit).effects.packets[0].value
    const receiver = core('totals')
    const give = (offset: number, value: Buffer) => () =>
      receiver.takePacket({ offset, timestamp: 0, key: null, value, headers: [] })
    give(0, packet)()
    give(1, packet)()
    expect(receiver.position(DELTAS)).toBe(2)
    const rows = asFetched((receiver.commit() as Commit).batch, 1).records
    expect(rows[0].value?.[0]).toBe(1)
    expect(give(2, packetOf(1, 'words-1', 3))).toThrow(/1 are missing/)
    expect(give(2, packetOf(2, 'words-1', 2))).toThrow(FreshetError)
    expect(give(2, packetOf(1, 'words-0', 2))).toThrow(/packet 2 from words-0 follows 0/)
  })

  it('C4: parts of a payload are packets of their own, numbered and taken in in order', () => {
    const parts: Stage = {
      name: 'parts',
      flush: out => {
        for (const part of [0, 1, 2])
          out.delta({ id: 99, name: 'parts', to: 'totals' }, 1, part).string(`part ${part}`)
        out.delta({ id: 98, name: 'whole', to: 'totals' }, 1).string('whole')
      },
    }
    const got: string[] = []
    const receiving: Stage = {
      name: 'receiving',
      receives: [
        { id: 99, name: 'parts', to: 'totals' },
        { id: 98, name: 'whole', to: 'totals' },
      ],
      receive: (_channel, payload) => got.push(payload.string()) as unknown as undefined,
    }
    const log = new Log()
    const sender = core('words', 0, [parts])
    const receiver = core('totals', 1, [receiving])
    for (const commit of [sender.commit(true), sender.commit(true)] as Commit[]) {
      log.append(commit)
      expect(commit.effects.packets).toHaveLength(3)
      for (const { value } of commit.effects.packets)
        for (let again = 0; again < 2; again++)
          receiver.takePacket({ offset: 0, timestamp: 0, key: null, value, headers: [] })
    }
    expect(got).toEqual([
      'part 0',
      'whole',
      'part 1',
      'part 2',
      'part 0',
      'whole',
      'part 1',
      'part 2',
    ])
    const restored = core('words', 0, [parts])
    for (const batch of log.batches) restored.restoreBatch(batch)
    expect(restored.restored().packets).toHaveLength(3)
    const next = (restored.commit(true) as Commit).effects.packets[0].value
    receiver.takePacket({ offset: 0, timestamp: 0, key: null, value: next, headers: [] })
    expect(got.at(-1)).toBe('whole')
  })

  it('soft rows wait for their time, but not where the owner ends in good order', () => {
    const row = { dirty: false, removed: false }
    const soft = new Store<typeof row>({
      id: 90,
      name: 'soft',
      write: { everyMs: 60_000 },
      writeKey: () => {},
      writeValue: (_row, w) => w.u8(7),
      restore: () => {},
    })
    const task = core('words', 0, [{ name: 'soft', stores: [soft as unknown as Store] }])
    const written = (commit: Commit | undefined): boolean =>
      asFetched((commit as Commit).batch, 1).records.some(({ key }) => key?.[0] === 90)
    soft.touch(row)
    expect(written(task.commit(true))).toBe(true)
    soft.touch(row)
    expect(written(task.commit(true))).toBe(false)
    expect(written(task.commit(false, true))).toBe(true)
  })

  it('C3: removes views again after a restore: no row may be left that says so', () => {
    const log = new Log()
    const erasing: Stage = {
      name: 'erasing',
      flush: out => out.view({ op: 'delete', key: 'session:nobody' }),
    }
    const task = core('words', 0, [erasing])
    log.append(task.commit())
    const restored = core('words')
    for (const batch of log.batches) restored.restoreBatch(batch)
    expect(restored.restored().views).toEqual([{ op: 'delete', key: 'session:nobody' }])
  })

  it('C4: refuses a packet with a part that nothing here receives, rather than pass over it', () => {
    const receiver = core('totals')
    const head = { generation: 1, source: 'words-0', number: 1, bornAt: 1, token: 0 }
    const value = encodePacket(head, [{ channel: 77, payload: Buffer.from('x') }])
    expect(() =>
      receiver.takePacket({ offset: 4, timestamp: 0, key: null, value, headers: [] }),
    ).toThrow(/totals-0 deltas@4: .*channel 77, which nothing here receives/)
  })

  it('C4: tells a source that began anew from one that repeats itself', () => {
    const receiver = core('totals')
    const give = (task: TaskCore, word: string): void => {
      task.process('text', record(0, word))
      const { packets } = (task.commit() as Commit).effects
      const { value } = packets.find(p => p.partition === 0) ?? packets[0]
      receiver.takePacket({ offset: 0, timestamp: 0, key: null, value, headers: [] })
    }
    give(core('words'), 'a')
    expect(() => give(core('words', 0, [], 1_900_000_000_000), 'a')).toThrow(
      /the changelog of words-0 was removed by hand/,
    )
  })

  it('refuses rows behind the last commit record: an orphan is an error, never guessed at', () => {
    const task = core('words')
    task.process('text', record(0, 'a'))
    const fetched = asFetched((task.commit() as Commit).batch, 1)
    const orphan = { ...fetched, records: fetched.records.slice(0, 1) }
    const restored = core('words')
    restored.restoreBatch(fetched)
    restored.restoreBatch({
      ...orphan,
      baseOffset: 9,
      records: orphan.records.map(r => ({ ...r, offset: 9 })),
    })
    expect(() => restored.restored()).toThrow(/changelog-0@9: rows stand behind the last commit/)
  })

  it('names the address of a row that can not be read', () => {
    const restored = core('words')
    expect(() =>
      restored.restoreBatch({
        topic: 'c',
        partition: 4,
        baseOffset: 7,
        nextOffset: 8,
        producerId: 1n,
        producerEpoch: 0,
        records: [
          {
            offset: 7,
            timestamp: 0,
            key: Buffer.from([1, 97]),
            value: Buffer.alloc(0),
            headers: [],
          },
        ],
      }),
    ).toThrow(/c-4@7: row of words/)
  })

  it('C7: is full after so many records, whatever few rows they change', () => {
    const task = core('words')
    for (let i = 0; i < 32_768; i++) {
      expect(task.full).toBe(false)
      task.process('text', record(i, 'a'))
    }
    expect(task.full).toBe(true)
    task.commit()
    expect(task.full).toBe(false)
  })

  it('C7: learns from its commits what a changed row brings with it', () => {
    const task = core('words')
    const word = (i: number): string => `${'w'.repeat(3000)}${i}`
    let i = 0
    for (; i < 500; i++) task.process('text', record(i, word(i)))
    task.commit()
    while (!task.full) task.process('text', record(i, word(i++)))
    expect(task.commit()?.batch.sizeBytes).toBeLessThan(4 * 1024 * 1024)
  })

  it('C1: writes soft rows until the batch is as large as one may be, the others with the next ones', () => {
    const rows = Array.from({ length: 5000 }, (_, key) => ({ key, dirty: false, removed: false }))
    const store = new Store<(typeof rows)[number]>({
      id: 9,
      name: 'soft',
      write: { everyMs: 0 },
      writeKey: (row, w) => w.uint(row.key),
      writeValue: (_row, w) => {
        for (let k = 0; k < 250; k++) w.string('neighbour')
      },
      restore: () => undefined,
    })
    const task = core('words', 0, [{ name: 'soft', stores: [store as unknown as Store] }])
    for (const row of rows) store.touch(row)
    const written: number[] = []
    while (store.dirtyCount > 0) {
      const { batch } = task.commit() as Commit
      expect(batch.sizeBytes).toBeLessThan(4 * 1024 * 1024)
      written.push(batch.count - 1)
    }
    expect(written.reduce((a, b) => a + b, 0)).toBe(5000)
    expect(written.length).toBeGreaterThan(1)
  })
})
