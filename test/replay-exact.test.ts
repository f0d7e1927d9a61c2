/**
 * The exact parts end the same in a live worker and in replays of its log: from the log and from an archive, paused and killed
 * anywhere, at a speed; and what is planted is found.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { speedPacer } from '../replay/pace/speed.ts'
import type { ReplayFolder } from '../replay/shadow/folder.ts'
import { systemClock } from '../streams/clock.ts'
import { randomFrom } from '../streams/serde/hash.ts'
import { run as archive } from './support/archived-log.ts'
import { recount } from './support/exact-recount.ts'
import { ExactWorld, same } from './support/exact-world.ts'
import { type SimulatedRecord, simulatedRecords } from './support/simulated-log.ts'

const TOPOLOGIES = 'sessions,labels,popularity,covisit,drift,quality'
const archived = mkdtempSync(join(tmpdir(), 'freshet-exact-archive-'))
const random = randomFrom(7)
let world: ExactWorld
let expected: ReadonlySet<string>
let sent: readonly SimulatedRecord[]

/** Users in passing are many: they are known in memory only. */
const worldOfUsers = { users: 300, items: 100, contextual: 0.3, lateRate: 0.05, doubledRate: 0.05 }

beforeAll(async () => {
  world = await ExactWorld.open(TOPOLOGIES)
  const records = simulatedRecords(world.encoder, {
    ...worldOfUsers,
    events: 6_000,
    ratePerSecond: 5,
    startTs: Date.now() - 1_300_000,
  })
  const half = Math.floor(records.length / 2)
  // which of two topics comes first, live does not record: erasures come while nothing else does
  const turns = [records.slice(0, half), erasuresOf(records.slice(0, half)), records.slice(half)]
  for (const turn of turns) {
    await world.send(turn)
    await world.atRest()
  }
  sent = turns.flat()
  expected = await world.atRest()
  await archive(archived, { transport: world.live.transport, source: world.registry })
}, 120_000)
afterAll(async () => {
  await world.close()
  rmSync(archived, { recursive: true })
})

function erasuresOf(records: readonly SimulatedRecord[]): SimulatedRecord[] {
  const at = records[records.length - 1].at
  const users = [...new Set(records.flatMap(({ topic, key }) => (topic === 'events' ? [key] : [])))]
  return users
    .filter((_, k) => k % 10 === 0)
    .map(key => {
      const value = world.encoder.encode('Erasure', {
        eventId: `erase ${key}`,
        userId: key,
        ts: at,
      })
      return { topic: 'erasures', key, value, at }
    })
}

/** Some checkpoint stood while users were known in passing. */
const carries = (folder: ReplayFolder): boolean =>
  Object.values(folder.checkpoint()?.logs ?? {}).some(({ carried = '' }) => carried.length > 500)

/** Stops it at random steps, in order or by what looks like a kill, until it is done. Gives how often it was stopped. */
async function withStops(folder: ReplayFolder, kills: boolean): Promise<number> {
  let carried = false
  // twenty times as fast: checkpoints stand every 100 ms
  const clock = { ...systemClock, now: () => systemClock.now() * 20 }
  for (let stops = 0; ; stops++) {
    const stop = new AbortController()
    let left = 5 + Math.floor(random() * 300)
    const pacer = {
      async ready() {
        if (--left > 0) return
        if (kills) throw new Error('killed')
        stop.abort()
      },
      held: () => null,
    }
    const state = await world.run(folder, { pacer, clock, signal: stop.signal }).catch(error => {
      if (!String(error).includes('killed')) throw error
      return 'killed'
    })
    carried ||= carries(folder)
    if (state === 'done') {
      expect(carried).toBe(true)
      return stops
    }
  }
}

describe('the exact parts', () => {
  it('of live are what a recount of the events says', () => {
    const { sessions, items } = recount(sent)
    const found = (part: string) =>
      [...expected].flatMap(text =>
        text.startsWith(part) ? [JSON.parse(text.slice(text.indexOf('['))) as unknown[]] : [],
      )
    const users = found('sessions ["user"').map(([, id, , , , session]) => [id, session] as const)
    expect(sessions.size).toBeGreaterThan(50)
    expect(new Map(users)).toEqual(sessions)
    const counts = found('counts ["counts"').map(
      ([, item, figures]) => [item, (figures as number[]).slice(1, 5)] as const,
    )
    expect(new Map(counts)).toEqual(items)
  })

  it('of a replay of the log, and of an archive of it, are those of live', async () => {
    expect(expected.size).toBeGreaterThan(1_000)
    const ofLog = await world.create(await world.spec('log'))
    expect(await world.run(ofLog)).toBe('done')
    expect(world.difference(expected, ofLog)).toEqual(same)
    const spec = await world.spec('archive', { source: { kind: 'archive', dir: archived } })
    const ofArchive = await world.create(spec)
    expect(await world.run(ofArchive)).toBe('done')
    expect(world.difference(expected, ofArchive)).toEqual(same)
  }, 60_000)

  it.each(['paused', 'killed'])(
    'of one that is %s again and again are those of live',
    async how => {
      const folder = await world.create(await world.spec(how))
      expect(await withStops(folder, how === 'killed')).toBeGreaterThan(2)
      expect(world.difference(expected, folder)).toEqual(same)
    },
    120_000,
  )

  it('of one at a speed, in steps of another length, are those of live', async () => {
    const folder = await world.create(await world.spec('speed', { stepMs: 10_000 }))
    await world.run(folder, { pacer: speedPacer(300) })
    expect(world.difference(expected, folder)).toEqual(same)
  }, 60_000)

  it('differ where an event is missing, or an option is another', async () => {
    const spec = await world.spec('short')
    const [first, ...others] = spec.ranges.events
    const ranges = { ...spec.ranges, events: [[first[0], first[1] - 1] as const, ...others] }
    const short = await world.create({ ...spec, ranges })
    await world.run(short)
    expect(world.difference(expected, short).missing.length).toBeGreaterThan(0)
    const gap = await world.create(await world.spec('gap', { set: { 'session.gap': '5s' } }))
    await world.run(gap)
    expect(world.difference(expected, gap, 'sessions').missing.length).toBeGreaterThan(0)
  }, 60_000)
})
