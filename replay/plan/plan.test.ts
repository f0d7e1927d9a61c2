/** What is read, and what is said to be gone: N1 to N3, of a log and of its archive. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { topicNames } from '../../streams/runtime/names.ts'
import { newFolder, newLog, removeFolders, run, T0 } from '../../test/support/archived-log.ts'
import { ArchiveReader } from '../archive/reader.ts'
import { archivedLog, liveLog, type PlannedLog } from './log.ts'
import { type EarlierRun, goneText, makePlan, refuseLoss } from './plan.ts'
import { type Bound, planRanges, type RangeSettings } from './ranges.ts'

afterEach(removeFolders)

const INPUTS = ['events', 'erasures', 'items']
const edge: Bound = { kind: 'edge' }
const minute = 60_000

/** 100 events a minute apart in one partition, 10 items an hour before, 3 erasures an hour after. */
async function filled() {
  const log = await newLog(1)
  const many = (n: number, at: number, key: string) =>
    Array.from({ length: n }, (_, i) => ({
      key: Buffer.from(`${key}${i}`),
      value: Buffer.from('v'.repeat(98)),
      timestamp: at + i * minute,
    }))
  await log.send('items', many(10, T0 - 60 * minute, 'i'))
  await log.send('events', many(100, T0, 'u'))
  await log.send('erasures', many(3, T0 + 160 * minute, 'u'))
  return log
}

async function both(): Promise<{ live: PlannedLog; archived: PlannedLog; dir: string }> {
  const { transport, registry } = await filled()
  const dir = newFolder()
  await run(dir, { transport, source: registry })
  return {
    live: liveLog(transport, topicNames('freshet.', 1)),
    archived: archivedLog(ArchiveReader.open(dir), dir),
    dir,
  }
}

const rangesFor = async (settings: Partial<RangeSettings> & Pick<RangeSettings, 'log'>) => {
  const { topics, gone, erasures } = await planRanges({
    inputs: INPUTS,
    from: edge,
    to: edge,
    position: undefined,
    ...settings,
  })
  const ranges = Object.fromEntries(
    topics.map(({ topic, partitions }) => [topic, partitions[0].range]),
  )
  return { topics, gone, ranges, erasures }
}

describe('what a replay reads', () => {
  it('all, with how much and when, of the log as of its archive', async () => {
    const { live, archived } = await both()
    for (const log of [live, archived]) {
      const { topics, gone, ranges } = await rangesFor({ log })
      expect(ranges).toEqual({ events: [0, 100], erasures: [0, 3], items: [0, 10] })
      expect(gone).toEqual([])
      expect(topics[0].partitions[0]).toMatchObject({
        records: 100,
        firstMs: T0,
        lastMs: T0 + 99 * minute,
      })
    }
    const { topics } = await rangesFor({ log: live })
    expect(topics[0].partitions[0].bytes).toBe(10 * 100 + 90 * 101)
  })

  it('N1, N2 events from a time on, items and erasures from their start', async () => {
    const { live, archived } = await both()
    for (const log of [live, archived]) {
      const from: Bound = { kind: 'time', ms: T0 + 20 * minute + 1 }
      const to: Bound = { kind: 'time', ms: T0 + 30 * minute }
      const { ranges, topics, erasures } = await rangesFor({ log, from, to })
      expect(ranges).toEqual({ events: [21, 30], erasures: [0, 0], items: [0, 10] })
      expect(erasures).toBe(3)
      expect(topics[0].partitions[0]).toMatchObject({
        firstMs: T0 + 21 * minute,
        lastMs: T0 + 29 * minute,
      })
      expect((await rangesFor({ log, to: { kind: 'time', ms: T0 - 55 * minute } })).ranges).toEqual(
        {
          events: [0, 0],
          erasures: [0, 0],
          items: [0, 5],
        },
      )
    }
  })

  it('offsets that count in every partition of events', async () => {
    const { live, archived } = await both()
    for (const log of [live, archived]) {
      const from: Bound = { kind: 'offset', offset: 5 }
      const to: Bound = { kind: 'offset', offset: 50 }
      expect((await rangesFor({ log, from, to })).ranges).toMatchObject({
        events: [5, 50],
        items: [0, 10],
      })
      const over: Bound = { kind: 'offset', offset: 101 }
      await expect(rangesFor({ log, from: over })).rejects.toThrow(
        /--from 101: .* holds of events-0 the offsets 0 to 99/,
      )
      await expect(rangesFor({ log, to: over })).rejects.toThrow(/--to 101: /)
      await expect(rangesFor({ log, from: to, to: from })).rejects.toThrow(
        /--to lies before --from/,
      )
    }
  })

  it('goes on where a state stands, and not behind the end of the log', async () => {
    const { live } = await both()
    const position = (topic: string) => ({ events: 40, items: 10 })[topic]
    expect((await rangesFor({ log: live, position })).ranges).toEqual({
      events: [40, 100],
      erasures: [0, 3],
      items: [10, 10],
    })
    await expect(rangesFor({ log: live, position: () => 1000 })).rejects.toThrow(
      /the state has taken in up to 999, and the log ends at 100/,
    )
  })

  it('says which topic is missing', async () => {
    const { live } = await both()
    await expect(rangesFor({ log: live, inputs: ['others'] })).rejects.toMatchObject({
      code: 'TOPIC_MISSING',
      message: expect.stringMatching(/the log has no topic others/),
    })
  })
})

describe('N3 what is gone is named', () => {
  it('below the start of the log', async () => {
    const { transport } = await filled()
    await transport.topics.trim({ topic: 'freshet.events', partition: 0 }, 30)
    const log = liveLog(transport, topicNames('freshet.', 1))
    const first = new Date(T0 + 30 * minute).toISOString()
    const asked = async (from: Bound, more: Partial<RangeSettings> = {}) => {
      const { gone, ranges } = await rangesFor({ log, from, ...more })
      return [ranges.events, gone.map(goneText)]
    }
    expect(await asked(edge)).toEqual([[30, 100], []])
    expect(await asked({ kind: 'time', ms: T0 + 30 * minute })).toEqual([[30, 100], []])
    expect(await asked({ kind: 'time', ms: T0 + 31 * minute })).toEqual([[31, 100], []])
    expect(await asked({ kind: 'time', ms: T0 + 10 * minute })).toEqual([
      [30, 100],
      [
        `events-0 offsets 0 to 29 (the log begins at 30, ${first}; which of them are of --from or later is not known)`,
      ],
    ])
    expect(await asked({ kind: 'offset', offset: 12 })).toEqual([
      [30, 100],
      ['events-0 offsets 12 to 29 (the log begins at 30)'],
    ])
    expect(await asked(edge, { position: topic => (topic === 'events' ? 29 : 0) })).toEqual([
      [30, 100],
      ['events-0 offset 29 (the state goes on there)'],
    ])
    const { gone } = await rangesFor({ log, from: { kind: 'offset', offset: 12 } })
    expect(() => refuseLoss(gone, true, 'the log')).not.toThrow()
    expect(() => refuseLoss(gone, false, 'the log')).toThrow(
      /^the log no longer has all that is to be read, 18 offsets: events-0 offsets 12 to 29 .*--accept-loss/,
    )
  })

  it('in an archive that lost records, or removed them, but not before it began', async () => {
    const { transport, registry } = await filled()
    const dir = newFolder()
    const from = { kind: 'time', ms: T0 + 10 * minute } as const
    await run(dir, { transport, source: registry, from })
    const path = join(dir, 'manifest.json')
    const open = () => archivedLog(ArchiveReader.open(dir), dir)
    expect((await rangesFor({ log: open(), from })).gone).toEqual([])
    const { gone } = await rangesFor({ log: open(), from: { kind: 'time', ms: T0 } })
    expect(gone.map(goneText)[0]).toMatch(/^events-0 offsets 0 to 9 \(the archive .* begins at 10/)
    const manifest = JSON.parse(readFileSync(path, 'utf8')) as {
      topics: { partitions: { lost: number[][] }[] }[]
    }
    manifest.topics[0].partitions[0].lost = [[20, 25]]
    writeFileSync(path, JSON.stringify(manifest))
    expect((await rangesFor({ log: open(), from })).gone.map(goneText)).toEqual([
      'events-0 offsets 20 to 24 (they had left the log before they were archived)',
    ])
    expect((await rangesFor({ log: open(), from: { kind: 'offset', offset: 30 } })).gone).toEqual(
      [],
    )
  })
})

describe('how long it takes', () => {
  const parts = {
    name: 'one',
    source: { kind: 'kafka' } as const,
    state: 'empty',
    topologies: 'sessions,popularity',
    set: {},
    topics: [
      {
        topic: 'events',
        partitions: [
          { range: [0, 10_000] as const, records: 10_000, bytes: 1, firstMs: 0, lastMs: 1 },
        ],
      },
    ],
    gone: [],
    erasures: 0,
    workers: 2,
    speed: 'max',
    throttle: '',
    writes: [],
    notes: [],
  }
  const earlier = (over: Partial<EarlierRun>): EarlierRun => ({
    replay: 'before',
    topologies: 'sessions,popularity',
    source: 'kafka',
    workers: 1,
    records: 50_000,
    ms: 10_000,
    bytesPerRecord: 40,
    ...over,
  })

  it('as an earlier run of the same kind went, else as is assumed', () => {
    expect(makePlan({ ...parts, earlier: [] }).rate).toEqual({
      perSecond: 20_000,
      from: 'assumed: no replay ran here before',
    })
    expect(
      makePlan({ ...parts, topologies: 'sessions,topk', earlier: [earlier({})] }).rate.from,
    ).toMatch(/assumed/)
    const plan = makePlan({
      ...parts,
      earlier: [earlier({ workers: 2, ms: 5_000 }), earlier({ replay: 'last' })],
    })
    expect(plan.rate).toEqual({ perSecond: 10_000, from: 'as before ran here, in 2 processes' })
    expect(plan.stateBytes).toBe(400_000)
  })
})
