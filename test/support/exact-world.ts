/** A live worker and replays of its log in this process, whose exact parts are to be compared. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { allOptions } from '../../bin/all-options.ts'
import type { Values } from '../../bin/call.ts'
import { namesOf, openTransport } from '../../bin/compose.ts'
import { runReplay } from '../../bin/replay/run.ts'
import { replayValues } from '../../bin/replay/values.ts'
import { outsideTopicSpecs } from '../../bin/topics.ts'
import { type RunningWorker, startWorker } from '../../bin/worker.ts'
import type { Range } from '../../replay/archive/ranges.ts'
import { digestOfFolder, digestOfLive } from '../../replay/digest/digest-of.ts'
import { type Pacer, unpaced } from '../../replay/pace/pacer.ts'
import { ReplayFolder, type ReplayState } from '../../replay/shadow/folder.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import type { StateCopy } from '../../replay/state-copy/copy.ts'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import type { Clock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { type SimulatedRecord, sendRecords } from './simulated-log.ts'
import { pause, until } from './until.ts'

export const inputs = ['events', 'erasures', 'items'] as const

export type Begun = Pick<StateCopy, 'checkpoint' | 'positions' | 'generation'>

export interface ReplayHow {
  readonly pacer?: Pacer
  readonly clock?: Clock
  readonly signal?: AbortSignal
}

/** What differs between two digests' texts, the first few of each. */
export interface Difference {
  readonly missing: readonly string[]
  readonly more: readonly string[]
}

export const same: Difference = { missing: [], more: [] }

export class ExactWorld {
  readonly data = mkdtempSync(join(tmpdir(), 'freshet-exact-'))
  readonly values: Values
  readonly registry: SchemaRegistry
  readonly around
  readonly names
  live!: RunningWorker
  encoder!: Encoder
  private readonly partitions: number
  private readonly topologies: string

  private constructor(topologies: string, partitions: number, flags: Record<string, string>) {
    this.topologies = topologies
    this.partitions = partitions
    const url = `mock://exact-${worlds++}`
    this.values = resolveOptions(allOptions, {
      flags: {
        'data.dir': this.data,
        'redis.url': 'none',
        'clickhouse.url': 'none',
        'schemaRegistry.url': url,
        'topics.partitions': String(partitions),
        topologies,
        ...flags,
      },
      environment: {},
      file: {},
    }).values as Values
    this.registry = new SchemaRegistry({ url })
    this.around = { values: this.values, log: silentLogger, metrics: noMetrics }
    this.names = namesOf(this.values)
  }

  /** `flags`: a broker, where the log is not to be embedded. */
  static async open(
    topologies: string,
    partitions = 2,
    flags: Record<string, string> = {},
  ): Promise<ExactWorld> {
    const world = new ExactWorld(topologies, partitions, flags)
    if ('kafka.brokers' in flags) {
      const transport = await openTransport(world.around)
      await transport.topics.create(outsideTopicSpecs(world.names, partitions))
      await transport.close()
    }
    world.encoder = await Encoder.open(world.registry, world.values['topics.prefix'])
    world.live = await startWorker(world.around)
    return world
  }

  async close(): Promise<void> {
    await this.live.close()
    rmSync(this.data, { recursive: true, force: true })
  }

  async ends(topic: string): Promise<number[]> {
    const at = Array.from({ length: this.partitions }, (_, partition) => ({
      topic: this.names.outside(topic),
      partition,
    }))
    return (await this.live.transport.topics.offsets(at)).map(({ end }) => end)
  }

  /** In portions, `everyMs` apart. */
  async send(records: readonly SimulatedRecord[], everyMs = 0): Promise<void> {
    const publisher = this.live.transport.publisher()
    for (let k = 0; k < records.length; k += 500) {
      await sendRecords(publisher, this.names, records.slice(k, k + 500))
      await pause(everyMs)
    }
  }

  /** Once live has taken in all that was sent and nothing is under way: what its digests are made of. */
  async atRest(): Promise<ReadonlySet<string>> {
    const expected = new Map<string, number>()
    for (const topic of inputs)
      for (const [p, end] of (await this.ends(topic)).entries()) expected.set(`${topic}-${p}`, end)
    let before = ''
    let same = 0
    let texts = new Set<string>()
    await until(async () => {
      await pause(300)
      texts = new Set()
      const found = await digestOfLive(this.live.transport, this.names, {
        options: this.values,
        topologies: parseTopologies(this.topologies),
        onText: (part, text) => texts.add(`${part} ${text}`),
      })
      const isThere = [...expected].every(([at, end]) => (found.positions.get(at) ?? 0) === end)
      const text = JSON.stringify(found.digests)
      // labels whose time has come are given a moment later, and the statistic task commits once a second
      same = isThere && found.underWay.length === 0 && text === before ? same + 1 : 0
      before = text
      return same >= 8
    })
    return texts
  }

  /** All that is in the log, or what follows `begun`. */
  async spec(name: string, more: Partial<ReplaySpec> = {}, begun?: Begun): Promise<ReplaySpec> {
    const ranges: Record<string, Range[]> = {}
    for (const topic of inputs)
      ranges[topic] = (await this.ends(topic)).map((end, p) => [
        begun?.positions.get(topic)?.[p] ?? 0,
        end,
      ])
    const { topologies } = this
    return {
      ...{ format: 1, name, created: Date.now(), source: { kind: 'kafka' }, topologies, set: {} },
      ...{ state: 'empty', ranges, generation: begun?.generation ?? 1, stepMs: 1_000 },
      ...{ backfill: null, ...more },
    }
  }

  async create(spec: ReplaySpec, begun?: Begun): Promise<ReplayFolder> {
    const folder = new ReplayFolder(this.data, spec.name)
    await folder.create(spec)
    if (begun) await folder.putCheckpoint(begun.checkpoint)
    return folder
  }

  run(folder: ReplayFolder, { pacer, clock, signal }: ReplayHow = {}): Promise<ReplayState> {
    return runReplay(clock ? { ...this.around, clock } : this.around, folder, {
      workers: 1,
      pacer: pacer ?? unpaced,
      onStatus: () => undefined,
      signal: signal ?? new AbortController().signal,
    })
  }

  /** Between what live's digests are made of and a replay's; `part`: in that one alone. */
  difference(expected: ReadonlySet<string>, folder: ReplayFolder, part = ''): Difference {
    const spec = folder.spec()
    const found = new Set<string>()
    digestOfFolder(folder, {
      options: replayValues(this.values, spec),
      topologies: parseTopologies(spec.topologies),
      onText: (part, text) => found.add(`${part} ${text}`),
    })
    return { missing: only(expected, found, part), more: only(found, expected, part) }
  }
}
let worlds = 0

const only = (a: ReadonlySet<string>, b: ReadonlySet<string>, part: string): string[] =>
  [...a]
    .filter(text => text.startsWith(part) && !b.has(text))
    .sort()
    .slice(0, 20)
