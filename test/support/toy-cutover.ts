/**
 * A replay's state takes the live one's place in one process: the toy application on the embedded log, with words coming in
 * all the time, and all that its workers show.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type CutoverSettings, cutOver, onward } from '../../replay/cutover/cutover.ts'
import { KnownErasures } from '../../replay/shadow/erasures.ts'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import { Outputs } from '../../replay/shadow/outputs.ts'
import { LocalPart } from '../../replay/shadow/part.ts'
import { Replay } from '../../replay/shadow/replay.ts'
import { kafkaSource } from '../../replay/source/kafka.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { Generations, inForce } from '../../streams/runtime/generations.ts'
import type { Positions } from '../../streams/runtime/journal-records.ts'
import { holdOf, JournalWatch } from '../../streams/runtime/journal-watch.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { Worker } from '../../streams/runtime/worker.ts'
import type { ViewStore } from '../../streams/sinks.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { type TotalsTable, toyApplication } from './toy-application.ts'

const PARTITIONS = 3
export const names = topicNames('t.', 1)
const counts = new Map([
  ['words', PARTITIONS],
  ['totals', 2],
])
let dir: string
export let transport: Transport
export let live: Live

/** Call it at the head of a test file: each test has a log of its own, and a `live` that is not yet started. */
export function onFreshLive(): void {
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
}

export const journal = () => new Generations({ transport, names, wall: systemClock.wall })

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
export class Words {
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

export async function replayed(name: string): Promise<ReplayFolder> {
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

export const settings = () => ({
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

export function cutting(folder: ReplayFolder, over: Partial<CutoverSettings> = {}) {
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

export async function eventually(holds: () => void | Promise<void>): Promise<void> {
  for (let i = 0; ; i++)
    try {
      return await holds()
    } catch (error) {
      if (i > 200) throw error
      await sleep(50)
    }
}

/** Every word counted once, by the tasks that were told of it, and shown. */
export async function expectAllCounted(words: Words): Promise<void> {
  await eventually(() => {
    expect(Object.fromEntries(live.table?.sums ?? [])).toEqual(Object.fromEntries(words.sent))
    for (const [word, count] of words.sent)
      expect(live.views.get(`word:${word}`)?.count, word).toBe(count)
  })
  expect(live.wentBack).toEqual([])
}
