import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import type { Outbox, ViewWrite } from '../../streams/topology/outbox.ts'
import { type CohortPopularity, createCohortStage } from './cohort-stage.ts'
import { contextOf, FakeItems } from './fakes.ts'
import { topkOptions } from './options.ts'

interface Listed {
  readonly cohort: string
  readonly items: readonly { readonly id: string }[]
}
const bodyOf = (write: ViewWrite): Listed =>
  JSON.parse(write.op === 'json' ? `{${write.body}` : 'null') as Listed
const idsOf = (write: ViewWrite) => bodyOf(write).items.map(item => item.id)

function setUp(flags: Record<string, string> = {}) {
  const items = new FakeItems({ items: 300, seed: 5 })
  const clock = { now: 1_700_000_000_000 }
  const ctx = contextOf('global', items, clock)
  const { values: options } = resolveOptions(topkOptions, { flags, environment: {}, file: {} })
  const popular = new Map<number, number>()
  const listed = [0, 1]
  const popularity: CohortPopularity = {
    listed,
    cohortName: cohort => (cohort === 1 ? 'de' : `c${cohort}`),
    popular: () => popular,
    refresh: () => {},
  }
  const cohorts = createCohortStage(ctx, { options, popularity })
  const flush = () => {
    const writes: ViewWrite[] = []
    cohorts.flush?.({ view: (write: ViewWrite) => writes.push(write) } as unknown as Outbox)
    return { writes }
  }
  return { items, clock, cohorts, popular, listed, flush }
}

describe('cohort and global lists', () => {
  const keys = (writes: readonly ViewWrite[]) =>
    writes.map(write => ('key' in write ? write.key : ''))

  it('are 16 draws each, written when inputs change and again at half their life', () => {
    const { cohorts, flush, clock, popular } = setUp()
    const turn = () => {
      while (cohorts.tick?.(5));
      return flush().writes
    }
    const first = turn()
    expect(keys(first)).toContain('topk:home:global:0')
    expect(keys(first)).toContain('topk:home:c:de:15')
    expect(first).toHaveLength(32)
    expect(new Set(first.slice(0, 16).map(write => idsOf(write).join())).size).toBeGreaterThan(10)
    expect(bodyOf(first[16])).toMatchObject({ user: '', cohort: 'de' })
    clock.now += 1_000
    expect(turn()).toEqual([])
    popular.set(250, 1e6)
    clock.now += 1_000
    // a cohort's at most every ten seconds
    expect(turn()).toEqual([])
    clock.now += 8_000
    const changed = turn()
    expect(keys(changed)).toEqual(Array.from({ length: 16 }, (_, n) => `topk:home:c:de:${n}`))
    expect(changed.filter(write => idsOf(write).includes('0000250')).length).toBeGreaterThan(12)
    clock.now += 12 * 3_600_000
    expect(turn()).toHaveLength(32)
  })

  it('are bounded a commit, deleted where the cohort is not among the listed any more, and all written in the end', () => {
    const { cohorts, flush, clock, listed, items } = setUp({ 'topk.cohortLife': '10d' })
    listed.push(...Array.from({ length: 200 }, (_, n) => n + 2))
    const written = new Set<string>()
    for (let commits = 1; written.size < 202 * 16; commits++) {
      while (cohorts.tick?.(1e9));
      const { writes } = flush()
      expect(writes.length).toBeLessThan(1_100)
      for (const key of keys(writes)) written.add(key)
      clock.now += 100
      expect(commits).toBeLessThan(8)
    }
    // the global lists follow every second, those of cohorts every ten
    clock.now += 1_000
    items.popular = () => [7, 8, 9]
    while (cohorts.tick?.(1e9));
    expect(keys(flush().writes)).toEqual(
      Array.from({ length: 16 }, (_, n) => `topk:home:global:${n}`),
    )
    listed.length = 1
    clock.now += 1_000
    while (cohorts.tick?.(1e9));
    const { writes } = flush()
    expect(writes).toHaveLength(201 * 16)
    for (const write of writes) expect(write.op).toBe('delete')
  })

  it.each([
    ['is withdrawn', (items: FakeItems, item: number) => items.withdraw(item)],
    ['expires', (items: FakeItems, item: number) => items.expire(item, 1_700_000_000_000)],
    ['becomes restricted', (items: FakeItems, item: number) => items.restrict(item)],
  ])('lose an item that %s at once', (_, leave) => {
    const { cohorts, flush, items } = setUp()
    while (cohorts.tick?.(5));
    const item = Number(idsOf(flush().writes[0])[0])
    expect(cohorts.urgent?.()).toBe(false)
    leave(items, item)
    while (cohorts.tick?.(5));
    expect(cohorts.urgent?.()).toBe(true)
    const { writes } = flush()
    expect(writes.length).toBeGreaterThanOrEqual(16)
    for (const write of writes) expect(idsOf(write).map(Number)).not.toContain(item)
    expect(cohorts.urgent?.()).toBe(false)
  })
})
