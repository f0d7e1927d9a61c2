import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type TotalsTable, toyApplication } from '../../test/support/toy-application.ts'
import { systemClock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import { silentLogger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { TableStore, ViewStore } from '../sinks.ts'
import type { TableRow } from '../topology/outbox.ts'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { COMMIT_KEY } from './commit-record.ts'
import { topicNames } from './names.ts'
import { Worker } from './worker.ts'

const names = topicNames('t.', 1)
const folders: string[] = []

afterEach(() => {
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true })
})

interface Harness {
  transport: Transport
  worker: Worker
  views: Map<string, string>
  rows: TableRow[]
  table: () => TotalsTable
}

async function start(
  dir: string,
  through: (transport: Transport) => Transport = transport => transport,
): Promise<Harness> {
  const transport = through(await createEmbeddedTransport({ dir }))
  await transport.topics.create([
    { topic: 't.text', partitions: 3, config: {} },
    { topic: 't.dead-letters', partitions: 1, config: {} },
  ])
  const views = new Map<string, string>()
  const rows: TableRow[] = []
  let table: TotalsTable | undefined
  const viewStore: ViewStore = {
    name: 'map',
    write: async (writes, version) => {
      for (const write of writes)
        if (write.op === 'json') views.set(write.key, `{"version":"${version}",${write.body}`)
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
  const tableStore: TableStore = {
    name: 'array',
    insert: async (_table, added) => {
      rows.push(...added)
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
  const worker = new Worker({
    application: toyApplication(made => {
      table = made
    }),
    transport,
    names,
    outlets: {
      views: viewStore,
      tables: tableStore,
      publisher: transport.publisher(),
      names,
      silent: new Set(),
    },
    clock: systemClock,
    log: silentLogger,
    metrics: noMetrics,
    generation: 1,
    groupId: 'toy',
    clientId: 'toy',
    sessionTimeoutMs: 10_000,
    writerDeadlineMs: 10_000,
    startAt: 'earliest',
  })
  await worker.start()
  return { transport, worker, views, rows, table: () => table as TotalsTable }
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (holds()) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`${what} did not come true within 10 s`)
}

const words = Array.from({ length: 3000 }, (_, i) => `w${(i * i) % 37}`)

describe('a worker on the embedded log', () => {
  it('counts every word once through deltas, views and rows, over an orderly restart', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'freshet-worker-'))
    folders.push(dir)
    const expected = new Map<string, number>()
    const rowsSeen: TableRow[] = []
    for (const part of [words.slice(0, 1700), words.slice(1700)]) {
      const h = await start(dir)
      const publisher = h.transport.publisher()
      await publisher.send(
        't.text',
        part.map(word => ({ key: Buffer.from(word), value: Buffer.from(word) })),
      )
      for (const word of part) expected.set(word, (expected.get(word) ?? 0) + 1)
      const total = [...expected.values()].reduce((a, b) => a + b, 0)
      await until(
        () => [...h.table().sums.values()].reduce((a, b) => a + b, 0) === total,
        `${total} words in the followed table`,
      )
      expect(h.table().sums).toEqual(expected)
      await h.worker.stop()
      await h.worker.done()
      await h.transport.close()
      rowsSeen.push(...h.rows)
      for (const [word, n] of new Map(part.map(w => [w, expected.get(w)])))
        expect(h.views.get(`word:${word}`)).toContain(`"count":${n}}`)
    }
    const sums = new Map<string, number>()
    for (const row of rowsSeen)
      sums.set(String(row.word), (sums.get(String(row.word)) ?? 0) + Number(row.n))
    expect(sums).toEqual(expected)
  })

  it('sends what it can not read to the dead letters with its address and goes on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'freshet-worker-'))
    folders.push(dir)
    const h = await start(dir)
    await h.transport.publisher().send('t.text', [
      { key: Buffer.from('a'), value: Buffer.from('bad one'), partition: 2 },
      { key: Buffer.from('a'), value: Buffer.from('fine'), partition: 2 },
    ])
    await until(() => h.table().sums.get('fine') === 1, 'the good record')
    const { batches } = await h.transport.read({ topic: 't.dead-letters', partition: 0 }, 0)
    const [letter] = batches.flatMap(batch => batch.records)
    expect(letter.value?.toString()).toBe('bad one')
    expect(Object.fromEntries(letter.headers.map(h => [h.key, h.value.toString()]))).toMatchObject({
      topic: 't.text',
      partition: '2',
      offset: '0',
      code: 'DECODE_FAILED',
      topology: 'words',
    })
    await h.worker.stop()
    await h.transport.close()
  })

  it('that runs into a trimmed position as a sleeper would claims anew and goes on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'freshet-worker-'))
    folders.push(dir)
    let lose = false
    const at = { topic: 't.text', partition: 0 }
    const h = await start(dir, transport =>
      Object.assign(Object.create(transport) as Transport, {
        reader: () => {
          const reader = transport.reader()
          const poll = (ms: number) => {
            if (!lose) return reader.poll(ms)
            lose = false
            return Promise.reject(new FreshetError('POSITION_LOST', 'trimmed', undefined, at))
          }
          return Object.assign(Object.create(reader), { poll })
        },
      }),
    )
    const send = (word: string) =>
      h.transport
        .publisher()
        .send('t.text', [{ key: null, value: Buffer.from(word), partition: 0 }])
    await send('before')
    await until(() => h.table().sums.get('before') === 1, 'the first record')
    lose = true
    await send('after')
    await until(() => h.table().sums.get('after') === 1, 'the record behind it')
    expect(h.table().sums.get('before')).toBe(1)
    await h.worker.stop()
    await h.worker.done()
    await h.transport.close()
  })

  it('that reads a log whose commits the cleaner took meanwhile claims anew and goes on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'freshet-worker-'))
    folders.push(dir)
    const send = ({ transport }: Harness, word: string) =>
      transport.publisher().send('t.text', [{ key: null, value: Buffer.from(word), partition: 0 }])
    const first = await start(dir)
    await send(first, 'before')
    await until(() => first.table().sums.get('before') === 1, 'the first record')
    await first.worker.stop()
    await first.transport.close()
    let late = true
    const second = await start(dir, transport =>
      Object.assign(Object.create(transport) as Transport, {
        read: async (...[at, offset, limits]: Parameters<Transport['read']>) => {
          const found = await transport.read(at, offset, limits)
          // a restore that slept: another owner's commit superseded the one it was to find
          if (!late || at.topic !== 't.g1.words-changelog' || limits?.maxWaitMs !== 500)
            return found
          const batches = found.batches.map(batch => ({
            ...batch,
            records: batch.records.filter(({ key }) => !key?.equals(COMMIT_KEY)),
          }))
          if (batches.some(({ records }, i) => records.length < found.batches[i].records.length))
            late = false
          return { ...found, batches }
        },
      }),
    )
    await send(second, 'after')
    await until(() => second.table().sums.get('after') === 1, 'the record behind it')
    expect(late).toBe(false)
    expect(second.table().sums.get('before')).toBe(1)
    await second.worker.stop()
    await second.worker.done()
    await second.transport.close()
  })

  it('stops and names what is gone where a new claim finds the same', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'freshet-worker-'))
    folders.push(dir)
    const first = await start(dir)
    const send = (word: string) =>
      first.transport
        .publisher()
        .send('t.text', [{ key: null, value: Buffer.from(word), partition: 0 }])
    await send('seen')
    await until(() => first.table().sums.get('seen') === 1, 'the first record')
    await first.worker.stop()
    await send('unseen')
    await first.transport.topics.trim({ topic: 't.text', partition: 0 }, 2)
    await first.transport.close()
    const second = await start(dir)
    await expect(second.worker.done()).rejects.toThrow('t.text-0: records 1 to 1 are gone')
    await second.transport.close()
  })
})
