/** State is copied from a live application that goes on meanwhile; what goes on from the copy ends where live ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { allOptions } from '../../bin/all-options.ts'
import type { Values } from '../../bin/call.ts'
import { namesOf } from '../../bin/compose.ts'
import { runReplay } from '../../bin/replay/run.ts'
import { type RunningWorker, startWorker } from '../../bin/worker.ts'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { sendRecords, simulatedRecords } from '../../test/support/simulated-log.ts'
import { pause, until } from '../../test/support/until.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import { digestOfFolder, digestOfLive } from '../digest/digest-of.ts'
import { unpaced } from '../pace/pacer.ts'
import { ReplayFolder } from '../shadow/folder.ts'
import type { ReplaySpec } from '../shadow/spec.ts'
import { copyLive, copyReplay, type StateCopy } from './copy.ts'

const PARTITIONS = 2
const TOPOLOGIES = 'sessions,labels,popularity,covisit,drift,quality'
const data = mkdtempSync(join(tmpdir(), 'freshet-copy-'))
const { values } = resolveOptions(allOptions, {
  flags: {
    'data.dir': data,
    'redis.url': 'none',
    'clickhouse.url': 'none',
    'schemaRegistry.url': 'mock://copy',
    'topics.partitions': String(PARTITIONS),
    topologies: TOPOLOGIES,
  },
  environment: {},
  file: {},
}) as { values: Values }
const around = { values, log: silentLogger, metrics: noMetrics }
const names = namesOf(values)
const topologies = parseTopologies(TOPOLOGIES)
const registry = new SchemaRegistry({ url: 'mock://copy' })
const encoder = await Encoder.open(registry, values['topics.prefix'])
const application = createApplication({
  options: values,
  topologies,
  schemas: registry,
  encoder,
  clock: systemClock,
})
const records = simulatedRecords(encoder, {
  events: 5_000,
  ratePerSecond: 10,
  // who is known in memory only is not copied
  contextual: 0,
  startTs: Date.now() - 600_000,
})
let live: RunningWorker

beforeAll(async () => {
  live = await startWorker(around)
})
afterAll(async () => {
  await live.close()
  rmSync(data, { recursive: true })
})

const ends = async (topic: string) => {
  const at = Array.from({ length: PARTITIONS }, (_, partition) => ({
    topic: names.outside(topic),
    partition,
  }))
  return (await live.transport.topics.offsets(at)).map(({ end }) => end)
}

/** Once live has taken in all that was sent, and nothing is under way. */
async function digestAtRest() {
  const expected = new Map<string, number>()
  for (const topic of ['events', 'erasures', 'items'])
    for (const [p, end] of (await ends(topic)).entries()) expected.set(`${topic}-${p}`, end)
  let before = ''
  let same = 0
  await until(async () => {
    await pause(300)
    const found = await digestOfLive(live.transport, names, { options: values, topologies })
    const isThere = [...expected].every(([input, end]) => (found.positions.get(input) ?? 0) === end)
    const text = JSON.stringify(found.digests)
    // labels whose time has come are given a moment later, and the statistic task commits once a second
    same = isThere && found.underWay.length === 0 && text === before ? same + 1 : 0
    before = text
    return same >= 8
  })
  return textsOf(onText =>
    digestOfLive(live.transport, names, { options: values, topologies, onText }),
  )
}

/** What the digests are made of: a difference can be read. */
async function textsOf(digest: (onText: (part: string, text: string) => void) => unknown) {
  const texts: string[] = []
  await digest((part, text) => texts.push(`${part} ${text}`))
  return new Set(texts)
}

const only = (a: ReadonlySet<string>, b: ReadonlySet<string>): string[] =>
  [...a]
    .filter(text => !b.has(text))
    .sort()
    .slice(0, 20)

async function specFrom(name: string, state: string, copy: StateCopy): Promise<ReplaySpec> {
  const ranges: Record<string, [number, number][]> = {}
  for (const topic of ['events', 'erasures', 'items']) {
    const to = await ends(topic)
    ranges[topic] = to.map((end, p) => [copy.positions.get(topic)?.[p] ?? 0, end])
  }
  const { generation } = copy
  return {
    ...{ format: 1, name, created: 0, source: { kind: 'kafka' }, topologies: TOPOLOGIES, set: {} },
    ...{ state, ranges, generation, stepMs: 1_000, backfill: null },
  }
}

async function goOn(name: string, copy: StateCopy, state: string): Promise<ReplayFolder> {
  const folder = new ReplayFolder(data, name)
  await folder.create(await specFrom(name, state, copy))
  await folder.putCheckpoint(copy.checkpoint)
  await run(folder)
  return folder
}

async function run(folder: ReplayFolder): Promise<void> {
  const { signal } = new AbortController()
  const how = { workers: 1, pacer: unpaced, onStatus: () => undefined, signal }
  expect(await runReplay(around, folder, how)).toBe('done')
}

describe('a copy of state', () => {
  const counts = new Map(
    application.kinds.map(({ name, inputs, partitions }) => [
      name,
      inputs.length > 0 ? PARTITIONS : (partitions ?? 1),
    ]),
  )

  it('C1: of a live application that runs is a consistent cut: what goes on from it ends as live does', async () => {
    const publisher = live.transport.publisher()
    const sending = (async () => {
      for (let k = 0; k < records.length; k += 500) {
        await sendRecords(publisher, names, records.slice(k, k + 500))
        await pause(100)
      }
    })()
    const copies: { name: string; copy: StateCopy }[] = []
    for (let k = 0; k < 3; k++) {
      await pause(500)
      const name = `copy${k}`
      const folder = new ReplayFolder(data, name)
      copies.push({
        name,
        copy: await copyLive(live.transport, names, { application, counts }, folder.stateDir),
      })
    }
    await sending
    const expected = await digestAtRest()
    for (const { name, copy } of copies) {
      const folder = await goOn(name, copy, 'live')
      const found = await textsOf(onText =>
        digestOfFolder(folder, { options: values, topologies, onText }),
      )
      expect({ missing: only(expected, found), more: only(found, expected) }).toEqual({
        missing: [],
        more: [],
      })
    }
    // some were made while something was under way, else this shows little
    expect(copies.some(({ copy }) => copy.checkpoint.packets.length > 0)).toBe(true)
    const positions = copies.map(({ copy }) => JSON.stringify([...copy.positions]))
    expect(new Set(positions).size).toBeGreaterThan(1)
  }, 180_000)

  it('at rest is as live is, without a record more', async () => {
    const expected = await digestAtRest()
    const { stateDir } = new ReplayFolder(data, 'rest')
    const copy = await copyLive(live.transport, names, { application, counts }, stateDir)
    const first = new ReplayFolder(data, 'copy0')
    const { checkpoint } = copy
    const whole = digestOfFolder(await goOn('rest', copy, 'live'), { options: values, topologies })
    expect(checkpoint.packets).toEqual([])
    expect(whole).toEqual(digestOfFolder(first, { options: values, topologies }))
    expect(expected.size).toBeGreaterThan(100)
  }, 60_000)

  it('of a replay goes on where it ended', async () => {
    const first = new ReplayFolder(data, 'first')
    const whole = await specFrom('first', 'empty', nothing)
    const half: ReplaySpec = {
      ...whole,
      ranges: Object.fromEntries(
        Object.entries(whole.ranges).map(([topic, parts]) => [
          topic,
          parts.map(([, to]) => [0, Math.floor(to / 2)]),
        ]),
      ),
    }
    await first.create(half)
    await run(first)
    const second = new ReplayFolder(data, 'second')
    const copy = await copyReplay(first, { application, counts }, second.stateDir)
    await goOn('second', copy, 'first')
    const whole2 = new ReplayFolder(data, 'whole')
    await whole2.create(whole)
    await run(whole2)
    const digests = [second, whole2].map(folder =>
      digestOfFolder(folder, { options: values, topologies }),
    )
    expect(digests[0]).toEqual(digests[1])
  }, 120_000)
})

const nothing: StateCopy = {
  checkpoint: {
    number: 0,
    at: 0,
    logs: {},
    packets: [],
    step: null,
    counts: { records: 0, deadLetters: 0 },
    done: false,
  },
  positions: new Map(),
  generation: 1,
}
