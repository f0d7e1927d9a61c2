import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { type Lockstep, type LockstepSettings, openLockstep } from './lockstep.ts'

const startAt = Date.UTC(2026, 0, 1)
const { values: options } = resolveOptions(topologyOptions, {
  flags: {},
  environment: {},
  file: {},
})

interface Play {
  readonly userId: string
  readonly itemId: string
  readonly ts: number
}

/** Plays of 40 users and 30 items, some of them in the same ms, some hours apart. */
function plays(n: number, seed = 1): Play[] {
  const random = randomFrom(seed)
  const upTo = (most: number) => Math.floor(random() * most)
  let ts = startAt
  return Array.from({ length: n }, () => {
    ts += [0, 40, 700, 30_000, 7_200_000][upTo(5)]
    return { userId: `u${upTo(40)}`, itemId: `i${upTo(30)}`, ts }
  })
}

const open = (more: Partial<LockstepSettings> = {}): Promise<Lockstep> =>
  openLockstep({ options, startAt, ...more })

function play(lockstep: Lockstep, { userId, itemId, ts }: Play, n: number): void {
  lockstep.sendEvent({
    ...{ type: 'watch', eventId: `e${n}`, userId, itemId, ts, consent: 'full' },
    ...{ playId: `p${n}`, watchedMs: 100_000, durationMs: 100_000, endReason: 'finished' },
  })
}

/** First positives, and W of co-visits, counted plainly. */
function recount(all: readonly Play[]) {
  const positives = new Map<string, number>()
  const covisits = new Map<string, number>()
  const histories = new Map<string, string[]>()
  for (const { userId, itemId } of all) {
    positives.set(itemId, (positives.get(itemId) ?? 0) + 1)
    const history = histories.get(userId) ?? []
    histories.set(userId, history)
    if (history.includes(itemId)) continue
    history.slice(0, 23).forEach((before, k) => {
      const weight = Math.round(4096 * 0.8 ** k) / 4096
      for (const pair of [`${before} ${itemId}`, `${itemId} ${before}`])
        covisits.set(pair, (covisits.get(pair) ?? 0) + weight)
    })
    history.unshift(itemId)
  }
  return { positives, covisits }
}

function counted({ items }: Lockstep) {
  const positives = new Map<string, number>()
  const covisits = new Map<string, number>()
  for (let i = 0; i < items.size; i++) {
    if (items.positives(i) > 0) positives.set(items.idOf(i), items.positives(i))
    const row = items.neighbours(i)
    for (let k = 0; k < (row?.size ?? 0); k++)
      covisits.set(`${items.idOf(i)} ${items.idOf(row!.items[k])}`, row!.weights[k])
  }
  return { positives, covisits }
}

const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

describe('lockstep', () => {
  it('L2: at the immediate pace surfaces have no intervals of their own, which would never be over', async () => {
    const policies = { surfaces: { clips: { profile: 'short-form' }, slow: { minInterval: '5s' } } }
    const { values } = resolveOptions(topologyOptions, {
      flags: {
        'topk.surfaces': 'home,clips,slow',
        'topk.policies': JSON.stringify(policies),
      },
      environment: {},
      file: {},
    })
    const written: string[] = []
    const lockstep = await open({
      options: values,
      topologies: 'sessions,popularity,topk',
      onView: ({ key }) => written.push(key),
    })
    for (let n = 0; n < 4; n++) {
      written.length = 0
      play(lockstep, { userId: 'u', itemId: `i${n}`, ts: startAt + n * 50 }, n)
      expect(written.filter(key => key.endsWith(':u:u')).length).toBe(3)
    }
  })

  it('L2: at the immediate pace the table equals a recount after every event', async () => {
    const lockstep = await open()
    const all = plays(400)
    all.forEach((each, n) => {
      play(lockstep, each, n)
      expect(lockstep.now).toBe(each.ts)
      if (n % 20 !== 0) return
      const expected = recount(all.slice(0, n + 1))
      const found = counted(lockstep)
      expect(sorted(found.positives)).toEqual(sorted(expected.positives))
      expect(sorted(found.covisits)).toEqual(sorted(expected.covisits))
    })
    expect(lockstep.refused).toEqual([])
    expect(lockstep.items.hasVector(lockstep.items.index('i1'))).toBe(true)
  })

  it('L3: with partitions nothing is known before it was committed, and all of it in the end', async () => {
    const eager = { ...options, 'covisit.publishThreshold': 0 }
    const lockstep = await open({ options: eager, partitions: 3 })
    const { items } = lockstep
    play(lockstep, { userId: 'u', itemId: 'a', ts: startAt }, 0)
    expect(items.positives(items.index('a'))).toBe(0)
    lockstep.advance(startAt + options['item.commitInterval'] + options['user.commitInterval'] + 1)
    expect(items.positives(items.index('a'))).toBe(1)
    const all = plays(400).map(each => ({ ...each, ts: each.ts + 60_000 }))
    all.forEach((each, n) => {
      play(lockstep, each, n + 1)
    })
    lockstep.advance(lockstep.now + 60_000)
    const expected = recount([{ userId: 'u', itemId: 'a', ts: 0 }, ...all])
    const found = counted(lockstep)
    expect(sorted(found.positives)).toEqual(sorted(expected.positives))
    expect(sorted(found.covisits)).toEqual(sorted(expected.covisits))
  })

  it('L1: the same calls give the same vectors and lists', async () => {
    const run = async () => {
      const lists: string[] = []
      const lockstep = await open({
        topologies: 'sessions,popularity,covisit,learner,topk',
        onView: (write, at) => lists.push(`${at} ${JSON.stringify(write)}`),
      })
      plays(100).forEach((each, n) => {
        play(lockstep, each, n)
      })
      return { lists, vectors: lockstep.items.output.slice(0, 30 * 32) }
    }
    const [one, other] = [await run(), await run()]
    expect(one.lists.length).toBeGreaterThan(80)
    expect(other).toEqual(one)
  })

  it('takes catalog rows, and gives users as their task knows them', async () => {
    const lockstep = await open({ partitions: 2 })
    const item = { itemId: 'i1', title: 'One', creatorId: 'c', safety: 'ok' } as const
    lockstep.sendItem('i1', item, startAt)
    lockstep.advance(startAt + 1_000)
    expect(lockstep.items.catalog(lockstep.items.index('i1'))?.title).toBe('One')
    lockstep.sendItem('i1', null, startAt + 1_000)
    lockstep.advance(startAt + 2_000)
    expect(lockstep.items.listable(lockstep.items.index('i1'), lockstep.now)).toBe(false)
    expect(lockstep.user('u1')).toBeUndefined()
    play(lockstep, { userId: 'u1', itemId: 'i1', ts: startAt + 3_000 }, 0)
    expect(lockstep.user('u1')?.positives.length).toBe(1)
  })

  it('says what it refused', async () => {
    const lockstep = await open()
    lockstep.sendEvent({ userId: 'u1', ts: startAt })
    expect(lockstep.refused).toHaveLength(1)
    expect(lockstep.refused[0]).toMatch(/^[A-Z_]+: .*type/)
  })
})
