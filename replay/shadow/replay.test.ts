import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { partitionOfText, randomFrom } from '../../streams/serde/hash.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { KnownErasures } from './erasures.ts'
import { ReplayFolder } from './folder.ts'
import { Outputs } from './outputs.ts'
import { LocalPart } from './part.ts'
import { Replay } from './replay.ts'
import type { RecordSource, SourceRecord } from './source.ts'
import type { ReplaySpec } from './spec.ts'
import { readLog } from './task-log.ts'

const START = Date.UTC(2026, 0, 1)
const PARTITIONS = 3
const TOPOLOGIES = 'sessions,labels,popularity,covisit,learner,topk,drift'
const { values: options } = resolveOptions(topologyOptions, {
  flags: { 'topk.size': '5' },
  environment: {},
  file: {},
})
const data = mkdtempSync(join(tmpdir(), 'freshet-replay-'))
afterAll(() => rmSync(data, { recursive: true }))

type Log = Map<string, SourceRecord[][]>

/** Shows, plays and clicks of 30 users, seconds or hours apart; some erase themselves and come back. */
function makeLog(n: number, seed: number): Log {
  const random = randomFrom(seed)
  const upTo = (most: number) => Math.floor(random() * most)
  const log: Log = new Map(
    ['events', 'erasures', 'items'].map(topic => [
      topic,
      Array.from({ length: PARTITIONS }, () => []),
    ]),
  )
  let at = START
  const put = (topic: string, key: string, value: object): void => {
    const partition = log.get(topic)?.[partitionOfText(key, PARTITIONS)] as SourceRecord[]
    partition.push({
      offset: partition.length,
      timestamp: at,
      key: Buffer.from(key),
      value: Buffer.from(JSON.stringify(value)),
      headers: [],
    })
  }
  for (let i = 0; i < n; i++) {
    at += [0, 3, 400, 900, 2_000, 90_000][upTo(6)]
    const userId = `u${upTo(30)}`
    const shared = { eventId: `e${i}`, userId, itemId: `i${upTo(20)}`, ts: at, consent: 'full' }
    const type = ['impression', 'watch', 'watch', 'feedback'][upTo(4)]
    if (type === 'impression')
      put('events', userId, { type, ...shared, requestId: `r${i}`, position: upTo(5) })
    if (type === 'watch')
      put('events', userId, {
        ...{ type, ...shared, playId: `p${i}`, durationMs: 100_000 },
        ...{ watchedMs: upTo(100_000), endReason: 'finished' },
      })
    if (type === 'feedback') put('events', userId, { type, ...shared, kind: 'click' })
  }
  return log
}

class MemorySource implements RecordSource {
  private readonly log: Log
  constructor(log: Log) {
    this.log = log
  }
  async *read(topic: string, partition: number, from: number, to: number) {
    const records = (this.log.get(topic)?.[partition] ?? []).slice(from, to)
    for (let i = 0; i < records.length; i += 7) yield records.slice(i, i + 7)
  }
  async close(): Promise<void> {}
}

const registry = new SchemaRegistry({ url: 'mock://replay-test' })
const encoder = await Encoder.open(registry, 'freshet.')
let names = 0

interface World {
  readonly folder: ReplayFolder
  readonly log: Log
  /** What stands in the view store: the last write of each key, without versions. */
  readonly views: Map<string, ViewWrite>
}

async function newWorld(log: Log): Promise<World> {
  const folder = new ReplayFolder(data, `r${names++}`)
  const ranges = Object.fromEntries(
    [...log].map(([topic, parts]) => [topic, parts.map(p => [0, p.length] as const)]),
  )
  const spec: ReplaySpec = {
    ...{ format: 1, name: folder.name, created: 0, source: { kind: 'kafka' } },
    ...{ topologies: TOPOLOGIES, set: {}, state: 'empty', ranges, generation: 1, stepMs: 1000 },
    backfill: null,
  }
  await folder.create(spec)
  return { folder, log, views: new Map() }
}

/** Runs it in `of` parts; `steps`: paused after so many, or killed. Returns how it ended. */
async function go(world: World, of: number, steps = Number.POSITIVE_INFINITY, killed = false) {
  const { folder, log, views } = world
  const application = createApplication({
    ...{ options, topologies: parseTopologies(TOPOLOGIES), schemas: registry, encoder },
    clock: systemClock,
  })
  const counts = new Map(
    application.kinds.map(kind => [
      kind.name,
      kind.inputs.length > 0 ? PARTITIONS : (kind.partitions ?? 1),
    ]),
  )
  const store = {
    name: 'memory',
    async write(writes: readonly ViewWrite[]) {
      for (const write of writes) views.set(write.key, write)
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
  const partOf = (kind: string, partition: number): number =>
    (counts.get(kind) ?? 1) === 1 ? of - 1 : partition % of
  const parts = Array.from(
    { length: of },
    (_, index) =>
      new LocalPart({
        application,
        counts,
        owns: (kind, partition) => partOf(kind, partition) === index,
        spec: folder.spec(),
        stateDir: folder.stateDir,
        source: new MemorySource(log),
        outputs: new Outputs({
          views: store,
          tables: null,
          erasures: new KnownErasures(() => []),
          generation: 1,
          opening: 1,
        }),
        metrics: noMetrics,
        log: silentLogger,
      }),
  )
  const stop = new AbortController()
  let left = steps
  const pacer = {
    async ready() {
      if (left-- > 0) return
      if (killed) throw new Error('killed')
      stop.abort()
    },
    held: () => null,
  }
  const { signal } = stop
  const onStatus = () => undefined
  const run = { folder, parts, partOf, pacer, clock: systemClock, onStatus, signal }
  try {
    return await new Replay(run).toEnd()
  } catch (error) {
    if (!killed || !String(error).includes('killed')) throw error
    return 'killed'
  }
}

/** What stands in the end, by task, store and key; soft rows are left out where `exact`. */
function stateOf(
  { folder }: World,
  isSoft: (task: string, store: number) => boolean = () => false,
) {
  const rows = new Map<string, string>()
  for (const [task, mark] of Object.entries(folder.checkpoint()?.logs ?? {}))
    for (const { records } of readLog(folder.stateDir, task, mark))
      for (const { key, value } of records) {
        if (key === null || key[0] === 0 || isSoft(task, key[0])) continue
        const name = `${task} ${key.toString('hex')}`
        if (value === null) rows.delete(name)
        else rows.set(name, value.toString('hex'))
      }
  return Object.fromEntries([...rows].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Stores that are written on an interval: a task that was restored may have forgotten a little. */
function softStores(): (task: string, store: number) => boolean {
  const application = createApplication({
    ...{ options, topologies: parseTopologies(TOPOLOGIES), schemas: registry, encoder },
    clock: systemClock,
  })
  const soft = new Set<string>()
  const tables = new Map<string, unknown>()
  for (const spec of application.tables)
    tables.set(spec.name, spec.create({ now: () => 0, metrics: noMetrics, log: silentLogger }))
  for (const kind of application.kinds) {
    const logic = kind.create({
      ...{ kind: kind.name, partition: 0, partitionsOf: () => 1, now: () => 0 },
      table: <T>(name: string) => tables.get(name) as T,
      ...{ metrics: noMetrics, log: silentLogger },
    })
    for (const { stores = [] } of logic.stages)
      for (const { spec } of stores) if (spec.write !== 'exact') soft.add(`${kind.name} ${spec.id}`)
  }
  return (task, store) => soft.has(`${task.slice(0, task.lastIndexOf('-'))} ${store}`)
}

const bodies = ({ views }: World) =>
  Object.fromEntries([...views].sort(([a], [b]) => (a < b ? -1 : 1)))

/** Keys whose values differ, the first few. */
function unlike(found: Record<string, unknown>, expected: Record<string, unknown>): string[] {
  const keys = new Set([...Object.keys(found), ...Object.keys(expected)])
  const text = (of: Record<string, unknown>, key: string) => JSON.stringify(of[key])
  return [...keys].filter(key => text(found, key) !== text(expected, key)).slice(0, 10)
}

describe('a replay', () => {
  it('S1-S3: ends with the same state and lists, bit for bit, however often, and with the same exact rows in however many parts', async () => {
    const log = makeLog(1_000, 5)
    const worlds: World[] = []
    for (const of of [1, 1, 3, 3]) {
      const world = await newWorld(log)
      expect(await go(world, of)).toBe('done')
      worlds.push(world)
    }
    const [one, again, three, threeAgain] = worlds
    expect(Object.keys(stateOf(one)).length).toBeGreaterThan(500)
    expect([...one.views.keys()].filter(key => key.startsWith('topk:home:u:')).length).toBe(30)
    expect(unlike(stateOf(again), stateOf(one))).toEqual([])
    expect(unlike(bodies(again), bodies(one))).toEqual([])
    expect(unlike(stateOf(threeAgain), stateOf(three))).toEqual([])
    expect(unlike(bodies(threeAgain), bodies(three))).toEqual([])
    const isSoft = softStores()
    expect(unlike(stateOf(three, isSoft), stateOf(one, isSoft))).toEqual([])
  })

  it('P1, P2: paused, killed and opened in other parts it ends with the same exact rows', async () => {
    const log = makeLog(400, 11)
    const whole = await newWorld(log)
    await go(whole, 1)
    const isSoft = softStores()
    const expected = stateOf(whole, isSoft)
    const stop = fc.record({
      steps: fc.integer({ min: 1, max: 120 }),
      of: fc.integer({ min: 1, max: 3 }),
      killed: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(stop, { minLength: 1, maxLength: 4 }), async stops => {
        const world = await newWorld(log)
        for (const { steps, of, killed } of stops) {
          if ((await go(world, of, steps, killed)) === 'done') break
          // what a killed process had begun to write
          const mark = world.folder.checkpoint()?.logs['user-0']
          if (killed && mark) appendFileSync(join(world.folder.stateDir, mark.file), 'torn')
        }
        if (!world.folder.checkpoint()?.done) await go(world, 2)
        expect(unlike(stateOf(world, isSoft), expected)).toEqual([])
      }),
      { numRuns: 8 },
    )
  })
})
