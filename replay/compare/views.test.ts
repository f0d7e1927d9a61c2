/** Views of two runs in embedded stores: what is read back is what was put in, and differs by what was changed. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createEmbeddedStore } from '../../sinks/embedded/store.ts'
import { systemClock } from '../../streams/clock.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { census } from './census.ts'
import { distributionOf } from './distribution.ts'
import { compareLists, itemsOf } from './lists.ts'
import { compareCounts } from './popularity.ts'
import { HashSample, sampledOfBoth } from './sample.ts'
import { compareSessions } from './sessions.ts'

const ttlMs = 3_600_000
const named = (user: string): string => `p-${user}`

function session(user: string, fields: Readonly<Record<string, string>>): ViewWrite {
  return { op: 'hash', key: `session:${user}`, fields: Object.entries(fields).flat(), ttlMs }
}

function list(key: string, items: readonly string[], compact = false): ViewWrite {
  const body = compact
    ? `"ids":${JSON.stringify(items)}}`
    : `"items":${JSON.stringify(items.map(id => ({ id })))}}`
  return { op: 'json', key, body, ttlMs }
}

function popular(key: string, scores: Readonly<Record<string, number>>): ViewWrite {
  return { op: 'zset', key, members: Object.keys(scores), scores: Object.values(scores), ttlMs }
}

async function stored(writes: readonly ViewWrite[]) {
  const store = createEmbeddedStore({ clock: systemClock })
  await store.write(writes, '000001-0000000000000001-0000000001')
  return { store, census: await census(store, 100) }
}

it('sees each sort of key, and names of users that hold colons', async () => {
  const { census: found } = await stored([
    session('anon:7', { session_id: 's' }),
    list('topk:home:u:anon:7', ['a']),
    list('topk:shorts:u:u1', ['a']),
    list('topk:home:c:de:phone:3', ['a']),
    list('topk:home:global:15', ['a']),
    popular('pop:5m', { a: 1 }),
    popular('pop:5m:de', { a: 1 }),
    { op: 'string', key: 'pop:at', value: '17', ttlMs: 0 },
    { op: 'json', key: 'similar:a', body: '"items":[]}', ttlMs },
  ])
  expect(found).toEqual({
    keys: {
      sessions: 1,
      lists: 2,
      'cohort lists': 1,
      'global lists': 1,
      popularity: 3,
      similar: 1,
    },
    sessionUsers: ['anon:7'],
    listUsers: expect.arrayContaining(['anon:7', 'u1']),
    surfaces: ['home', 'shorts'],
    popularity: ['pop:5m', 'pop:5m:de'],
    shared: ['topk:home:c:de:phone:3', 'topk:home:global:15'],
  })
})

it('samples both runs alike, whatever the order and however often a name comes', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 120 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 0, max: 120 }),
      (names, limit, cut) => {
        const sampled = (some: readonly string[]): string[] => {
          const sample = new HashSample(limit)
          for (const name of [...some, ...[...some].reverse()]) sample.add(name)
          expect(sample.isPart).toBe(some.length > limit)
          return sample.names()
        }
        const [one, other] = [names.slice(0, cut), names.slice(Math.floor(cut / 2))]
        const both = sampledOfBoth(sampled(one), sampled(other), limit)
        expect(both).toEqual(sampledOfBoth(one, other, limit))
        // whoever is in the sample is found in each run that has it
        for (const name of both)
          for (const some of [one, other])
            if (some.includes(name)) expect(sampled(some)).toContain(name)
      },
    ),
  )
})

it('compares sessions field by field', async () => {
  const fields = { session_id: 's1', last_event_at: '100', watches: '3', last_items: '["a"]' }
  const one = await stored([
    session('same', fields),
    session('moved', { ...fields, last_event_at: '90', watches: '1' }),
    session('off', { ...fields, watches: '5' }),
    session('mine', fields),
  ])
  const other = await stored([
    session('same', fields),
    session('moved', fields),
    session('off', fields),
  ])
  const readers = [one.store, other.store] as const
  const found = await compareSessions(readers, [one.census, other.census], 100, named)
  expect(found).toMatchObject({
    users: 4,
    both: 3,
    onlyReplay: 1,
    onlyWith: 0,
    equal: 1,
    sameMoment: 2,
    equalOfSameMoment: 1,
  })
  expect(found.fields.find(({ field }) => field === 'watches')).toEqual({
    field: 'watches',
    equal: 1,
    largest: 2,
  })
  expect(found.fields.find(({ field }) => field === 'session_id')).toMatchObject({
    equal: 3,
    largest: null,
  })
  expect(found.examples).toEqual([
    { user: 'p-off', field: 'watches', replay: '5', with: '3' },
    { user: 'p-moved', field: 'last_event_at', replay: '90', with: '100' },
  ])
})

it('compares popularity sets item by item', async () => {
  const one = await stored([popular('pop:5m', { a: 3, b: 2, c: 1 }), popular('pop:1h', { a: 1 })])
  const other = await stored([popular('pop:5m', { a: 3, b: 6, d: 2 }), popular('pop:1h', { a: 1 })])
  const found = await compareCounts([one.store, other.store], [one.census, other.census])
  expect(found.sets.find(({ set }) => set === 'pop:5m')).toEqual({
    set: 'pop:5m',
    items: 4,
    equal: 1,
    onlyReplay: 1,
    onlyWith: 1,
    totalReplay: 6,
    totalWith: 11,
    agreement: 5 / 12,
  })
  expect(found.agreement).toBeCloseTo(6 / 13, 12)
  expect(found.largest.map(({ item }) => item)).toEqual(['b', 'd', 'c'])
})

it('compares lists of either format, and what the draws of cohorts come to', async () => {
  const items = [...'abcdefghijkl']
  const swapped = ['b', 'a', ...items.slice(2)]
  const cohort = (n: number): string => `topk:home:c:de:${n}`
  const one = await stored([
    list('topk:home:u:same', items, true),
    list('topk:home:u:off', swapped),
    list('topk:home:u:mine', items),
    list(cohort(0), items),
    list(cohort(1), swapped),
  ])
  const other = await stored([
    list('topk:home:u:same', items),
    list('topk:home:u:off', items),
    // the same draws, dealt to other numbers
    list(cohort(0), swapped),
    list(cohort(1), items),
  ])
  const readers = [one.store, other.store] as const
  const { users, bySurface, shared } = await compareLists(
    readers,
    [one.census, other.census],
    100,
    named,
  )
  expect(users).toMatchObject({ both: 2, onlyReplay: 1, onlyWith: 0, identical: 1 })
  expect(users.rbo.mean).toBeCloseTo(0.95, 12)
  expect(users.worst).toEqual([
    { of: 'p-off', surface: 'home', rbo: expect.closeTo(0.9, 12), overlap10: 1 },
  ])
  expect(bySurface).toEqual([{ surface: 'home', both: 2, rbo: expect.closeTo(0.95, 12) }])
  expect(shared).toMatchObject({ both: 1, identical: 1 })
  expect(itemsOf({})).toEqual([])
})

it('spreads numbers over bins', () => {
  const found = distributionOf([0, 0.049, 0.95, 1, 0.5])
  expect([found.bins[0], found.bins[19], found.bins[10]]).toEqual([2, 2, 1])
  expect([found.n, found.mean, found.median]).toEqual([5, expect.closeTo(0.4998, 9), 0.5])
  expect(found.p10).toBeCloseTo(0.0196, 9)
  expect(distributionOf([])).toMatchObject({ n: 0, mean: null, p10: null })
})
