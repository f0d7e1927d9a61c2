import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { longestWindowMinutes, PositiveWindows, windowsMinutes } from './windows.ts'

const start = 29_000_000 - (29_000_000 % 60)
const halfLifeMs = 12 * 3_600_000

/** Positives by `item|cohort`, each with its minute. */
type Truth = Map<string, number[]>

function recount(truth: Truth, cohort: string, now: number, minutes: number): [string, number][] {
  const sums = new Map<string, number>()
  for (const [key, at] of truth) {
    const [item, of] = key.split('|')
    if (cohort !== '' && of !== cohort) continue
    const n = at.filter(m => m > now - minutes && m <= now).length
    sums.set(item, (sums.get(item) ?? 0) + n)
  }
  return [...sums].filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
}

/** The rows as an item task would publish them. */
function publish(windows: PositiveWindows, truth: Truth, key: string, hour: number): void {
  const [item, cohort] = key.split('|')
  const minutes = new Map<number, number>()
  for (const minute of truth.get(key) ?? [])
    if (Math.floor(minute / 60) === hour)
      minutes.set(minute % 60, (minutes.get(minute % 60) ?? 0) + 1)
  windows.put(
    item,
    cohort,
    hour,
    [...minutes].map(([minute, count]) => count * 64 + minute),
  )
}

const board = (
  windows: PositiveWindows,
  cohort: number,
  b: number,
  n = 1000,
): [string, number][] => {
  const best = windows.best(cohort, b, n, () => false)
  return best.items.map((item, i) => [windows.items.nameOf(item), best.scores[i]])
}

const step = fc.record({
  item: fc.constantFrom('a', 'b', 'c', 'd'),
  cohort: fc.constantFrom('', 'x'),
  // minutes passing before it, and how late it is
  pass: fc.oneof(fc.nat(3), fc.nat(90), fc.nat(3000), fc.nat(20_000)),
  late: fc.oneof(fc.constant(0), fc.nat(30), fc.nat(11_000)),
})

describe('sliding windows', () => {
  it('W1, W5: equal a recount whatever the disorder', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 80, size: 'max' }), steps => {
        const windows = new PositiveWindows(halfLifeMs)
        const truth: Truth = new Map()
        let now = start
        for (const { item, cohort, pass, late } of steps) {
          now += pass
          const minute = now - late
          const key = `${item}|${cohort}`
          truth.set(key, [...(truth.get(key) ?? []), minute])
          publish(windows, truth, key, Math.floor(minute / 60))
          windows.advance(now)
          // as item tasks remove what no window can hold
          for (const [old, at] of truth)
            for (const hour of new Set(at.map(m => Math.floor(m / 60))))
              if (hour * 60 + 60 < now - longestWindowMinutes) {
                truth.set(
                  old,
                  at.filter(m => Math.floor(m / 60) !== hour),
                )
                publish(windows, truth, old, hour)
                break
              }
          for (const name of ['', 'x']) {
            const c = windows.cohorts.index(name)
            if (c >= 2 || !truth.size) continue
            if (name === 'x' && ![...truth.keys()].some(k => k.endsWith('|x'))) continue
            windowsMinutes.forEach(({ minutes }, w) => {
              expect(board(windows, c, w)).toEqual(recount(truth, name, now, minutes))
            })
          }
        }
      }),
      { numRuns: 60 },
    )
  })

  it('W6: items that came and went leave no series behind', () => {
    const windows = new PositiveWindows(halfLifeMs)
    const rows: [string, string, number][] = []
    let most = 0
    for (let hour = start / 60; hour < start / 60 + 24 * 40; hour++) {
      for (const cohort of ['', 'x', 'y'])
        for (let k = 0; k < 5; k++) rows.push([`${hour}-${k}`, cohort, hour])
      for (const [item, cohort, at] of rows.slice(-15)) windows.put(item, cohort, at, [64])
      windows.advance(hour * 60 + 59)
      while (rows[0][2] < hour - 24 * 8) windows.put(...rows.shift()!, [])
      if (hour === start / 60 + 24 * 9) most = windows.size
    }
    expect(windows.size).toBe(most)
    expect(windows.positives(0)).toBe(15 * 24 * 7)
    expect(windows.positives(1)).toBe(5 * 24 * 7)
    const now = start + 24 * 40 * 60 - 1
    const truth: Truth = new Map(rows.map(([i, c, hour]) => [`${i}|${c}`, [hour * 60]]))
    for (const cohort of ['', 'x'])
      windowsMinutes.forEach(({ minutes }, w) => {
        expect(board(windows, windows.cohort(cohort), w, 5_000)).toEqual(
          recount(truth, cohort, now, minutes),
        )
      })
  })

  it('W5: all is the sum of cohorts for many items, beyond what is first made room for', () => {
    const windows = new PositiveWindows(halfLifeMs)
    const items = Array.from({ length: 5_000 }, (_, i) => `i${String(i).padStart(4, '0')}`)
    // one ahead, so that in one case it is the series of all that makes the arrays grow
    windows.put('before', '', start / 60, [64])
    windows.put('before', '', start / 60, [])
    for (const cohort of ['x', 'y', ''])
      for (const item of items) windows.put(item, cohort, start / 60, [64])
    windows.advance(start)
    expect(board(windows, 0, 0, 5_000)).toEqual(items.map(item => [item, 3]))
    for (const cohort of [1, 2])
      expect(board(windows, cohort, 0, 5_000)).toEqual(items.map(item => [item, 1]))
  })

  it('W3: the trend is the decayed sum over the longest window, also over years and with rescaling', () => {
    for (const halfLife of [60_000 * 7, halfLifeMs]) {
      const windows = new PositiveWindows(halfLife)
      const truth: Truth = new Map()
      let now = start
      for (let i = 0; i < 400; i++) {
        now += (i * 7919) % (i % 50 === 0 ? 9000 : 40)
        const key = `i${(i * 31) % 7}|`
        truth.set(key, [...(truth.get(key) ?? []), now])
        publish(windows, truth, key, Math.floor(now / 60))
        windows.advance(now)
      }
      const got = new Map(board(windows, 0, windowsMinutes.length))
      for (const [key, at] of truth) {
        const expected = at
          .filter(m => m > now - 10_080)
          .reduce((sum, m) => sum + 2 ** ((-(now - m) * 60_000) / halfLife), 0)
        const found = got.get(key.slice(0, -1)) ?? 0
        expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-9 * (1 + expected))
      }
    }
  })

  it('orders equal counts by item id and cuts at n', () => {
    const windows = new PositiveWindows(halfLifeMs)
    const names = Array.from({ length: 300 }, (_, i) => `i${(i * 7) % 300}`)
    for (const name of names) windows.put(name, '', start / 60, [(name.endsWith('3') ? 2 : 1) * 64])
    windows.advance(start)
    const expected = names
      .map((name): [string, number] => [name, name.endsWith('3') ? 2 : 1])
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    expect(board(windows, 0, 0, 100)).toEqual(expected.slice(0, 100))
  })

  it('W4: a board that is full changes only if a series at its last place or above moves', () => {
    const windows = new PositiveWindows(halfLifeMs)
    const taken = (from: PositiveWindows): [string, number][] => {
      const best = from.take(0, 0, 2, () => false)
      return best.items.map((item, i) => [from.items.nameOf(item), best.scores[i]])
    }
    windows.put('a', '', start / 60, [5 * 64])
    windows.put('b', '', start / 60, [3 * 64])
    windows.put('c', '', start / 60, [1 * 64])
    windows.advance(start)
    expect(taken(windows)).toEqual([
      ['a', 5],
      ['b', 3],
    ])
    windows.put('c', '', start / 60, [2 * 64])
    expect(windows.changed(0, 0)).toBe(false)
    windows.put('c', '', start / 60, [4 * 64])
    board(windows, 0, 0)
    expect(windows.changed(0, 0)).toBe(true)
    expect(taken(windows)).toEqual([
      ['a', 5],
      ['c', 4],
    ])
  })
})
