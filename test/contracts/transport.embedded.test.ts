/** The embedded transport: the port's contract on LMDB and in memory, and what only it promises. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../streams/clock.ts'
import {
  createEmbeddedTransport,
  type EmbeddedTransport,
} from '../../streams/transport/embedded/index.ts'
import type { LogRecord, TopicPartition } from '../../streams/transport/port.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import { transportContract } from './transport.contract.ts'

const dirs: string[] = []
const open: EmbeddedTransport[] = []

function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-embedded-'))
  dirs.push(dir)
  return dir
}

process.on('exit', () => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true })
})

const contractDir = newDir()
const quick = { cleanEveryMs: 100 }
transportContract(
  'embedded, LMDB',
  async () => ({ transport: createEmbeddedTransport({ dir: contractDir, ...quick }) }),
  {
    async reopen(current) {
      await current.close()
      return createEmbeddedTransport({ dir: contractDir, ...quick })
    },
  },
)
transportContract('embedded, memory', async () => ({
  transport: createEmbeddedTransport({ memory: true, ...quick }),
}))

afterEach(async () => {
  for (const transport of open.splice(0)) await transport.close()
})

function embedded(options: { dir?: string; clock?: Clock } = {}): EmbeddedTransport {
  const where = options.dir === undefined ? { memory: true } : { dir: options.dir }
  const transport = createEmbeddedTransport({ ...where, ...options, cleanEveryMs: 3_600_000 })
  open.push(transport)
  return transport
}

const at: TopicPartition = { topic: 't', partition: 0 }

async function recordsOf(transport: EmbeddedTransport, from = 0): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for (let position = from; ; ) {
    const read = await transport.read(at, position)
    for (const batch of read.batches) records.push(...batch.records)
    if (read.nextOffset >= read.highWatermark) return records
    position = read.nextOffset
  }
}

type Change = { key: number; value: string | null }

async function append(transport: EmbeddedTransport, changes: Change[], timestamp = 1000) {
  const builder = new RecordBatchBuilder()
  for (const { key, value } of changes)
    builder.add(Buffer.from(`k${key}`), value === null ? null : Buffer.from(value))
  const producerId = await transport.newProducerId()
  const writer = transport.writer({ producerId, epoch: 0, deadlineMs: 1000 })
  return writer.append(at, builder.finish(timestamp))
}

function stateOf(records: readonly LogRecord[]): Map<string, string> {
  const state = new Map<string, string>()
  for (const { key, value } of records) {
    if (value === null) state.delete(String(key))
    else state.set(String(key), String(value))
  }
  return state
}

function settableClock(): Clock & { ms: number } {
  const clock = {
    ...systemClock,
    ms: 1_790_000_000_000,
    now: () => clock.ms,
    sleep: async () => {},
  }
  return clock
}

describe('the embedded cleaner', () => {
  const change = fc.record({
    key: fc.integer({ min: 0, max: 6 }),
    value: fc.option(fc.string({ maxLength: 8 })),
  })
  const batches = fc.array(fc.array(change, { minLength: 1, maxLength: 8 }), {
    minLength: 1,
    maxLength: 12,
  })

  it('keeps what a reader ends up with, at its offsets, however often it passes', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(11), fc.nat(3), async (written, cleanAfter, passes) => {
        const clock = settableClock()
        const transport = createEmbeddedTransport({ memory: true, clock })
        const config = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0' }
        await transport.topics.create([{ topic: 't', partitions: 1, config }])
        const all: LogRecord[] = []
        for (const [i, changes] of written.entries()) {
          const { baseOffset } = await append(transport, changes)
          all.push(...(await recordsOf(transport, baseOffset)))
          if (i === cleanAfter) await transport.clean()
        }
        for (let i = 0; i < passes; i++) {
          await transport.clean()
          clock.ms += 86_400_001
        }
        const left = await recordsOf(transport)
        const byOffset = new Map(all.map(record => [record.offset, record]))
        for (const record of left) expect(record).toEqual(byOffset.get(record.offset))
        expect(stateOf(left)).toEqual(stateOf(all))
        if (passes > 0) {
          const lastBatch = all.length - (written.at(-1)?.length ?? 0)
          const old = left.filter(r => r.offset < lastBatch).map(r => String(r.key))
          expect(new Set(old).size).toBe(old.length)
          // K1: the last batch stays whole
          expect(left.length - old.length).toBe(written.at(-1)?.length)
        }
        await transport.close()
      }),
      { numRuns: 100 },
    )
  })

  it('drops a tombstone only after delete.retention.ms of the pass that met it', async () => {
    const clock = settableClock()
    const transport = embedded({ clock })
    const config = {
      'cleanup.policy': 'compact',
      'min.cleanable.dirty.ratio': '0',
      'delete.retention.ms': '10000',
    }
    await transport.topics.create([{ topic: 't', partitions: 1, config }])
    await append(transport, [{ key: 1, value: 'a' }])
    await append(transport, [{ key: 1, value: null }])
    const keys = async (): Promise<string[]> =>
      (await recordsOf(transport)).map(r => `${r.key}=${r.value}`)
    const pass = async (): Promise<void> => {
      await append(transport, [{ key: 9, value: 'tick' }])
      await transport.clean()
    }
    await pass()
    expect(await keys()).toEqual(['k1=null', 'k9=tick'])
    clock.ms += 9_000
    await pass()
    expect(await keys()).toEqual(['k1=null', 'k9=tick'])
    clock.ms += 2_000
    await pass()
    expect(await keys()).toEqual(['k9=tick'])
  })

  it('drops what is older than retention.ms and says so to who comes too late', async () => {
    const clock = settableClock()
    const transport = embedded({ clock })
    const config = { 'cleanup.policy': 'delete', 'retention.ms': '1000' }
    await transport.topics.create([{ topic: 't', partitions: 1, config }])
    await append(transport, [{ key: 1, value: 'old' }], clock.ms)
    await append(transport, [{ key: 1, value: 'new' }], clock.ms + 800)
    clock.ms += 1_001
    await transport.clean()
    expect(await transport.topics.offsets([at])).toEqual([{ start: 1, end: 2 }])
    await expect(transport.read(at, 0)).rejects.toThrow('below the log')
    clock.ms += 60_000
    await transport.clean()
    expect(await transport.topics.offsets([at])).toEqual([{ start: 2, end: 2 }])
    expect(await append(transport, [{ key: 1, value: 'x' }])).toEqual({ baseOffset: 2 })
  })
})

describe('the embedded data directory', () => {
  it('is refused while it is open, and taken once it is closed', async () => {
    const dir = newDir()
    const first = embedded({ dir })
    expect(() => createEmbeddedTransport({ dir })).toThrow(/in use by process \d+/)
    await first.close()
    expect(() => embedded({ dir })).not.toThrow()
  })

  it('is read by others while a process writes it, who can write nothing', async () => {
    const dir = newDir()
    expect(() => createEmbeddedTransport({ dir, readOnly: true })).toThrow(/no embedded log in/)
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(import.meta.dirname, '../support/embedded-writer.ts'), dir],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let acknowledged = -1
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line)
      if (acknowledged >= 100) break
    }
    const looking = createEmbeddedTransport({ dir, readOnly: true })
    open.push(looking)
    const records = await recordsOf(looking)
    expect(records.length).toBeGreaterThan(100)
    expect(records.map(r => Number(r.value))).toEqual(records.map((_, i) => i))
    await expect(
      looking.topics.create([{ topic: 'other', partitions: 1, config: {} }]),
    ).rejects.toThrow('read only')
    expect(child.exitCode).toBeNull()
    child.kill('SIGKILL')
    await once(child, 'exit')
    await looking.close()
    // the one that looked owns nothing
    expect((await recordsOf(embedded({ dir }))).length).toBeGreaterThanOrEqual(records.length)
  })

  it('keeps every acknowledged batch when its process is killed -9', async () => {
    const dir = newDir()
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(import.meta.dirname, '../support/embedded-writer.ts'), dir],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let acknowledged = -1
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line)
      if (acknowledged === 150)
        expect(() => createEmbeddedTransport({ dir })).toThrow(`in use by process ${child.pid}`)
      if (acknowledged >= 300) break
    }
    child.kill('SIGKILL')
    await once(child, 'exit')
    const transport = embedded({ dir })
    const records = await recordsOf(transport)
    expect(records.length).toBeGreaterThan(acknowledged)
    expect(records.map(r => Number(r.value))).toEqual(records.map((_, i) => i))
    const writer = transport.writer({ producerId: 77n, epoch: 0, deadlineMs: 1000 })
    const again = new RecordBatchBuilder()
    again.add(Buffer.from('k'), Buffer.from('zombie'))
    await expect(writer.append(at, again.finish(1))).rejects.toThrow('out of order')
  })
})

describe('the embedded log', () => {
  it('names the topic or partition that is absent, and the end of the log', async () => {
    const transport = embedded()
    await transport.topics.create([{ topic: 't', partitions: 1, config: {} }])
    await expect(transport.read({ topic: 'none', partition: 0 }, 0)).rejects.toThrow(
      'no topic none',
    )
    await expect(transport.read({ topic: 't', partition: 3 }, 0)).rejects.toThrow('1 partitions')
    await expect(transport.read(at, 5)).rejects.toThrow('beyond its end 0')
  })

  it('takes `dir` or `memory`, not neither', () => {
    expect(() => createEmbeddedTransport({})).toThrow('takes `dir` or `memory`')
  })
})
