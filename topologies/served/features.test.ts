import { describe, expect, it } from 'vitest'
import { featureCount } from '../blend/features.ts'
import type { ImpressionEvent } from '../user/event.ts'
import { ServedFeatures } from './features.ts'
import { ServedMemory } from './memory.ts'

const gapMs = 1_800_000

function setUp(limit = 1 << 20) {
  const clock = { now: 1_000_000 }
  const counts: Record<string, number> = {}
  const counter = (name: string, labels: Readonly<Record<string, string>> = {}) => ({
    add(n = 1) {
      const key = labels.reason ?? name
      if (n > 0) counts[key] = (counts[key] ?? 0) + n
    },
  })
  const metrics = {
    counter,
    gauge: () => ({ set() {} }),
    histogram: () => ({ observe() {} }),
  }
  const memory = new ServedMemory(limit)
  const served = new ServedFeatures({ memory, now: () => clock.now, gapMs, metrics })
  /** Items 0 to `count` - 1, whose first feature is `mark` plus a tenth of the item. */
  const list = (user: string, version: string, mark: number, surface = 'home', count = 3): void => {
    const matrix = new Float32Array(count * featureCount)
    for (let k = 0; k < count; k++) matrix[k * featureCount] = mark + k / 10
    served.drawn(user, surface, { count, item: k => k, row: k => k }, matrix)
    served.left(user, version)
    served.endCommit()
  }
  const shown = (user: string, listVersion: string | null, item = 0, surface = 'home') =>
    ({ userId: user, item, event: { listVersion, surface } }) as unknown as ImpressionEvent
  const first = (user: string, version: string | null, item = 0, surface = 'home') =>
    served.of(shown(user, version, item, surface))?.[0]
  return { clock, counts, memory, served, list, shown, first }
}

describe('features of served lists', () => {
  it('are those of exactly the list that the impression names', () => {
    const { list, first } = setUp()
    list('u', 'v1', 1)
    list('u', 'v2', 2)
    list('u', 'v2', 3, 'next')
    list('w', 'v2', 4)
    expect(first('u', 'v1', 2)).toBe(Math.fround(1.2))
    expect([first('u', 'v2'), first('u', 'v2', 0, 'next'), first('w', 'v2')]).toEqual([2, 3, 4])
    expect(first('w', 'v1')).toBeUndefined()
    expect(first('u', 'v2', 7)).toBeUndefined()
  })

  it('are those of the list that left, where several were drawn before the commit', () => {
    const { served, first } = setUp()
    for (const mark of [1, 2])
      served.drawn(
        'u',
        'home',
        { count: 1, item: () => 0, row: () => 0 },
        new Float32Array(featureCount).fill(mark),
      )
    served.drawn('lost', 'home', { count: 0, item: () => 0, row: () => 0 }, new Float32Array(0))
    served.left('u', 'v1')
    served.endCommit()
    expect(first('u', 'v1')).toBe(2)
    served.left('lost', 'v2')
    expect(first('lost', 'v2')).toBeUndefined()
  })

  it('S2: are kept as long as a reader may page through the list', () => {
    const { clock, list, first, memory } = setUp()
    list('u', 'v1', 1)
    // the newest, however old
    clock.now += 7 * 86_400_000
    list('u', 'v2', 2)
    clock.now += 30_000
    list('u', 'v3', 3)
    expect(first('u', 'v1'), 'fetched just before v2 came').toBe(1)
    clock.now += 1
    list('u', 'v4', 4)
    expect(first('u', 'v1'), 'an impression was seen').toBe(1)
    clock.now += 30_000
    list('u', 'v5', 5)
    expect(first('u', 'v2'), 'none was seen of it for 30 s').toBeUndefined()
    clock.now += gapMs - 30_000
    list('u', 'v6', 6)
    expect(first('u', 'v1'), 'within the gap of its last impression').toBe(1)
    clock.now += gapMs + 1
    list('u', 'v7', 7)
    expect(first('u', 'v1')).toBeUndefined()
    expect(first('u', 'v7')).toBe(7)
    expect(memory.bytes).toBeLessThan(2_000)
  })

  it('F1: leave memory with the list that was used longest ago, and never take more than the bound', () => {
    const { list, first, memory, counts } = setUp(20_000)
    list('a', 'v', 1)
    list('b', 'v', 2)
    for (let n = 0; n < 200; n++) {
      list(`u${n}`, 'v', n)
      expect(memory.bytes).toBeLessThanOrEqual(20_000)
      first('a', 'v')
    }
    expect(first('a', 'v'), 'in use').toBe(1)
    expect(first('b', 'v')).toBeUndefined()
    expect(first('u199', 'v')).toBe(199)
    expect(first('u0', 'v')).toBeUndefined()
    expect(counts.freshet_served_features_evicted_total).toBeGreaterThan(100)
  })

  it('F2: are not kept for more impressions than there is room for; those that wait stay', () => {
    const { list, served, shown, memory, counts } = setUp(10_000)
    list('u', 'v', 1)
    const held = Array.from({ length: 400 }, () => served.hold(shown('u', 'v')))
    const kept = held.filter(text => text !== '')
    expect(kept.length).toBeGreaterThan(150)
    expect(memory.bytes).toBeLessThanOrEqual(10_000)
    expect(held.indexOf('')).toBe(kept.length)
    expect(counts.no_room).toBe(400 - kept.length)
    expect(served.unpack(kept[0])[0]).toBe(1)
    for (const text of kept) served.release(text)
    expect(served.hold(shown('u', 'v'))).not.toBe('')
    served.forget('u')
    served.release(kept[0])
    expect(memory.bytes).toBe(0)
  })

  it('S3: are counted where they are missing, by the reason', () => {
    const { list, served, shown, counts } = setUp()
    list('u', 'v1', 1)
    served.drawn('mixed', 'home', { count: 1, item: () => 0, row: () => 0 }, undefined)
    served.left('mixed', 'v1')
    const without = [shown('u', null), shown('u', 'v0'), shown('u', 'v1', 9), shown('mixed', 'v1')]
    for (const event of [...without, shown('u', 'v1')]) served.hold(event)
    served.lost(2)
    expect(counts).toEqual({
      no_version: 1,
      list_unknown: 1,
      not_in_list: 1,
      not_computed: 1,
      restart: 2,
    })
  })

  it('are forgotten with the user', () => {
    const { list, first, served, memory } = setUp()
    list('u', 'v1', 1)
    list('u', 'v2', 2)
    list('w', 'v2', 3)
    served.forget('u')
    expect([first('u', 'v1'), first('u', 'v2'), first('w', 'v2')]).toEqual([
      undefined,
      undefined,
      3,
    ])
    served.forget('w')
    expect(memory.bytes).toBe(0)
  })
})
