/** A replay's state takes the live one's place in one process: the toy application on the embedded log, with words coming in all the time. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { Generations, inForce } from '../../streams/runtime/generations.ts'
import type { Positions } from '../../streams/runtime/journal-records.ts'
import { holdOf, JournalWatch } from '../../streams/runtime/journal-watch.ts'
import { lastCommit } from '../../streams/runtime/last-commit.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { Worker } from '../../streams/runtime/worker.ts'
import type { ViewStore } from '../../streams/sinks.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { type TotalsTable, toyApplication } from '../../test/support/toy-application.ts'
import { KnownErasures } from '../shadow/erasures.ts'
import { ReplayFolder } from '../shadow/folder.ts'
import { Outputs } from '../shadow/outputs.ts'
import { LocalPart } from '../shadow/part.ts'
import { Replay } from '../shadow/replay.ts'
import { kafkaSource } from '../source/kafka.ts'
import { type CutoverSettings, cutOver, onward } from './cutover.ts'
import { rollBack } from './rollback.ts'
import { removeUpload, stateInUse } from './states.ts'

const PARTITIONS = 3
const names = topicNames('t.', 1)
const counts = new Map([
  ['words', PARTITIONS],
  ['totals', 2],
])
let dir: string
let transport: Transport
let live: Live

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'freshet-cutover-'))
  transport = createEmbeddedTransport({ memory: true })
  await transport.topics.create([
    { topic: 't.text', partitions: PARTITIONS, config: {} },
    { topic: 't.dead-letters', partitions: 1, config: {} },
  ])
  live = new Live()
  Object.assign(transport, { members: async () => live.members })
})

afterEach(async () => {
  await live.stop()
  await transport.close()
  rmSync(dir, { recursive: true, force: true })
})

const journal = () => new Generations({ transport, names, wall: systemClock.wall })

/** Workers one after the other, as `freshet run` has them, and all that they show. */
class Live {
  readonly views = new Map<string, { version: string; count: number }>()
  readonly wentBack: string[] = []
  members: string[] = []
  table: TotalsTable | undefined
  generations: number[] = []
  private stopping = false
  private worker: Worker | undefined
  private running = Promise.resolve()

  start(): void {
    this.running = this.run()
  }

  async stop(): Promise<void> {
    this.stopping = true
    await this.worker?.stop()
    await this.running
  }

  private readonly store: ViewStore = {
    name: 'map',
    write: async (writes, version, mark) => {
      void mark
      for (const write of writes) {
        if (write.op !== 'json') continue
        const count = Number(/"count":(\d+)/.exec(write.body)?.[1])
        const before = this.views.get(write.key)
        if (before && version < before.version) continue
        if (before && count < before.count)
          this.wentBack.push(`${write.key}: ${count} (${version}) after ${before.count}`)
        this.views.set(write.key, { version, count })
      }
    },
    waiting: () => undefined,
    close: async () => undefined,
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      const found = await journal().read()
      if (holdOf(found, systemClock)) {
        await sleep(20)
        continue
      }
      const { generation, names: own } = inForce(names, found)
      this.worker = this.newWorker(generation, own)
      this.members = ['live']
      await this.worker.start()
      this.generations.push(generation)
      const watch = new JournalWatch({
        generations: journal(),
        generation,
        clock: systemClock,
        onOver: () => void this.worker?.stop(),
        onFailure: error => {
          throw error
        },
      })
      await this.worker.done()
      watch.close()
      this.members = []
    }
  }

  private newWorker(generation: number, own: typeof names): Worker {
    return new Worker({
      application: toyApplication(made => {
        this.table = made
      }),
      transport,
      names: own,
      outlets: {
        views: this.store,
        tables: null,
        publisher: transport.publisher(),
        names: own,
        silent: new Set(),
      },
      clock: systemClock,
      log: silentLogger,
      metrics: noMetrics,
      generation,
      groupId: 'toy',
      clientId: 'toy',
      sessionTimeoutMs: 10_000,
      writerDeadlineMs: 10_000,
      startAt: 'earliest',
    })
  }
}

/** All words sent so far. */
class Words {
  readonly sent = new Map<string, number>()
  private n = 0
  private going = true
  private telling = Promise.resolve()

  async send(count: number): Promise<void> {
    const words = Array.from({ length: count }, () => `w${(this.n++ * this.n) % 41}`)
    await transport.publisher().send(
      't.text',
      words.map(word => ({ key: Buffer.from(word), value: Buffer.from(word) })),
    )
    for (const word of words) this.sent.set(word, (this.sent.get(word) ?? 0) + 1)
  }

  steadily(): void {
    this.telling = (async () => {
      while (this.going) {
        await this.send(7)
        await sleep(5)
      }
    })()
  }

  async stop(): Promise<void> {
    this.going = false
    await this.telling
  }
}

async function replayed(name: string): Promise<ReplayFolder> {
  const folder = new ReplayFolder(dir, name)
  const at = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: 't.text', partition }))
  const ends = (await transport.topics.offsets(at)).map(({ end }) => [0, end] as const)
  await folder.create({
    ...{ format: 1, name, created: 0, source: { kind: 'kafka' }, topologies: 'toy' },
    ...{ set: {}, state: 'empty', ranges: { text: ends }, generation: 1, stepMs: 1000 },
    backfill: null,
  })
  await runOn(folder)
  return folder
}

async function runOn(folder: ReplayFolder): Promise<void> {
  if (folder.checkpoint()?.done) return
  const erasures = new KnownErasures(() => [])
  const part = new LocalPart({
    application: toyApplication(),
    counts,
    owns: () => true,
    spec: folder.spec(),
    stateDir: folder.stateDir,
    source: kafkaSource(transport, names),
    outputs: new Outputs({ views: null, tables: null, erasures, generation: 1, opening: 1 }),
    metrics: noMetrics,
    log: silentLogger,
  })
  await new Replay({
    folder,
    parts: [part],
    partOf: () => 0,
    pacer: { ready: async () => undefined, held: () => null },
    clock: systemClock,
    onStatus: () => undefined,
    signal: new AbortController().signal,
  }).toEnd()
}

const settings = () => ({
  transport,
  generations: journal(),
  applicationId: 'toy',
  application: toyApplication(),
  counts,
  prefix: 't.',
  writerDeadlineMs: 10_000,
  clock: systemClock,
  onStage: () => undefined,
  holdMs: 20_000,
})

function cutting(folder: ReplayFolder, over: Partial<CutoverSettings> = {}) {
  return cutOver({
    ...settings(),
    folder,
    catchUp: async (to: Positions) => {
      const further = onward(folder.spec(), to)
      if (further) await folder.extend(further, { kind: 'kafka' })
      await runOn(folder)
    },
    ...over,
  })
}

async function eventually(holds: () => void | Promise<void>): Promise<void> {
  for (let i = 0; ; i++)
    try {
      return await holds()
    } catch (error) {
      if (i > 200) throw error
      await sleep(50)
    }
}

/** Every word counted once, by the tasks that were told of it, and shown. */
async function expectAllCounted(words: Words): Promise<void> {
  await eventually(() => {
    expect(Object.fromEntries(live.table?.sums ?? [])).toEqual(Object.fromEntries(words.sent))
    for (const [word, count] of words.sent)
      expect(live.views.get(`word:${word}`)?.count, word).toBe(count)
  })
  expect(live.wentBack).toEqual([])
}

describe('a cutover', () => {
  it('goes on from the replay, and a rollback from what was before, with no word lost, doubled, or shown older', async () => {
    const words = new Words()
    await words.send(2_000)
    live.start()
    words.steadily()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    const report = await cutting(folder)
    expect(report).toMatchObject({
      generation: 2,
      state: { prefix: 't.replay.r.', generation: 1 },
      changed: true,
      hadWorkers: true,
    })
    expect(report.backMs).not.toBeNull()
    expect(report.rows).toBeGreaterThan(40)
    await sleep(300)
    await words.stop()
    await expectAllCounted(words)
    expect(live.generations).toEqual([1, 2])
    const versions = [...live.views.values()].map(({ version }) => version.slice(0, 6))
    expect(versions).toContain('000002')

    expect(await cutting(folder)).toMatchObject({ changed: false, generation: 2 })
    expect(stateInUse(await journal().read(), names, 'r')).toMatch(/^the state of r is live since/)

    await words.send(500)
    await eventually(() => expectAllCounted(words))
    const back = await rollBack(settings())
    expect(back).toMatchObject({ generation: 3, state: { prefix: 't.', generation: 1 } })
    expect(back.behind).toBeGreaterThan(500)
    // what the old state takes in again it shows again: only then it is where it was
    live.wentBack.length = 0
    await words.send(300)
    await eventually(() => {
      expect(Object.fromEntries(live.table?.sums ?? [])).toEqual(Object.fromEntries(words.sent))
    })
    expect(await rollBack(settings())).toMatchObject({ changed: false, generation: 3 })
    expect(stateInUse(await journal().read(), names, 'r')).toBeUndefined()
    expect(await removeUpload(transport, names, 'r', ['words', 'totals'])).toHaveLength(3)
  })

  it('goes again, and lets go of the state before the last', async () => {
    const words = new Words()
    await words.send(500)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    await cutting(await replayed('a'))
    expect((await transport.topics.describe(['t.g1.words-changelog'])).size).toBe(1)
    await words.send(500)
    await cutting(await replayed('b'))
    await expectAllCounted(words)
    const topics = ['t.g1.words-changelog', 't.replay.a.g1.words-changelog']
    expect([...(await transport.topics.describe(topics)).keys()]).toEqual([topics[1]])
    expect(stateInUse(await journal().read(), names, 'a')).toMatch(/is kept for a rollback/)
    expect(await rollBack(settings())).toMatchObject({
      generation: 4,
      state: { prefix: 't.replay.a.' },
    })
    await words.send(100)
    await eventually(() => {
      expect(Object.fromEntries(live.table?.sums ?? [])).toEqual(Object.fromEntries(words.sent))
    })
  })

  it('U3: takes tasks along that have committed and have no rows', async () => {
    const begin = systemClock.wall() - 60_000
    for (let i = 0; i < 4; i++)
      await transport.publisher().send('t.text', [
        {
          key: Buffer.from('k'),
          value: Buffer.from(`bad${i}`),
          timestamp: begin + i * 2_000,
          partition: 0,
        },
      ])
    live.start()
    await eventually(() => expect(live.members).toHaveLength(1))
    const folder = await replayed('r')
    expect(await cutting(folder)).toMatchObject({ changed: true, rows: 0 })
    const words = new Words()
    await words.send(300)
    await expectAllCounted(words)
    const found = await lastCommit(transport, {
      topic: 't.replay.r.g1.words-changelog',
      partition: 0,
    })
    expect(found?.number).toBeGreaterThan(1)
    expect(found?.positions.get('text')).toBeGreaterThanOrEqual(4)
  })

  it('that dies changes nothing: workers go on, and the next one begins anew', async () => {
    const words = new Words()
    await words.send(1_000)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    let calls = 0
    const dies = cutting(folder, {
      catchUp: async to => {
        if (++calls < 2) return
        await folder.extend(onward(folder.spec(), to) ?? {})
        throw new Error('killed')
      },
    })
    await expect(dies).rejects.toThrow('killed')
    await words.send(100)
    await expectAllCounted(words)
    expect((await journal().read()).current?.generation).toBe(1)
    expect(await cutting(folder)).toMatchObject({ generation: 2, changed: true })
    await words.send(100)
    await expectAllCounted(words)
  })

  it('O1: is given up where a worker does not let go, or comes back before the change', async () => {
    const words = new Words()
    await words.send(200)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    const stuck = Object.assign(Object.create(transport), { members: async () => ['stuck (h)'] })
    await expect(cutting(folder, { transport: stuck, holdMs: 2_500 })).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^stuck \(h\) did not leave the group within 2.5 s/),
    })
    await eventually(() => expect(live.members).toHaveLength(1))
    // the hold is over while the last records are caught up
    let calls = 0
    const late = cutting(folder, {
      holdMs: 4_000,
      catchUp: async () => {
        if (++calls === 2) await sleep(4_500)
      },
    })
    await expect(late).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^the hold of the workers ran out before cutover of r/),
    })
    await words.send(100)
    await expectAllCounted(words)
    expect((await journal().read()).current?.generation).toBe(1)
  })

  it.each([
    [
      'one that is not done',
      async (folder: ReplayFolder) => {
        const found = folder.checkpoint()
        if (found) await folder.putCheckpoint({ ...found, done: false })
      },
      /^replay r can't go live: it is not done/,
    ],
    [
      'one of other partitions',
      (folder: ReplayFolder) => folder.extend({ text: [[0, 9_999]] }),
      /^replay r can't go live: (it is not done|t\.text has 3 partitions)/,
    ],
  ])('refuses %s', async (_, change, message) => {
    await new Words().send(50)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(5))
    const folder = await replayed('r')
    await change(folder)
    await expect(cutting(folder)).rejects.toMatchObject({
      code: 'CALL_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('refuses to begin where nothing is live, and to go back where nothing was', async () => {
    await new Words().send(50)
    const folder = await replayed('r')
    await expect(cutting(folder)).rejects.toMatchObject({ code: 'CALL_INVALID' })
    await expect(rollBack(settings())).rejects.toMatchObject({
      code: 'CALL_INVALID',
      message: expect.stringMatching(/^there is nothing to go back to/),
    })
  })

  it('names what the log no longer has', async () => {
    const words = new Words()
    await words.send(300)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    await words.send(300)
    await eventually(async () => {
      const found = await lastCommit(transport, { topic: 't.g1.words-changelog', partition: 0 })
      const [{ end }] = await transport.topics.offsets([{ topic: 't.text', partition: 0 }])
      expect(found?.positions.get('text')).toBe(end)
    })
    const [, end] = folder.spec().ranges.text[0]
    await transport.topics.trim({ topic: 't.text', partition: 0 }, end + 3)
    await expect(cutting(folder)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringContaining(`t.text-0: the replay ended at ${end}`),
    })
  })
})
