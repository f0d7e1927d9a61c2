/** Windows of histograms while partitions run at different speeds, fall silent, come back, and clocks jump. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Watermark } from '../../topologies/drift/watermark.ts'
import { impression, minute, Pipeline, t0 } from '../support/drift-pipeline.ts'

const sizes = [minute, 60 * minute, 1440 * minute]
const names = Array.from({ length: 40 }, (_, k) => `u${k}`)

/** Rows of the impressions' positions by window, as the last revision says. */
function written(pipeline: Pipeline): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of pipeline.rows('histograms'))
    if (row.subject === 'feature:position' && row.segment === '' && row.edges_id === 'positions')
      counts.set(`${row.window_start}-${row.window_end}`, Number(row.n))
  return counts
}

/** The same, counted anew from everything that was sent. */
function recount(times: readonly number[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const ts of times)
    for (const ms of sizes) {
      const start = ts - (ts % ms)
      const key = `${start}-${start + ms}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
  return counts
}

const sorted = (counts: Map<string, number>) => [...counts].sort(([a], [b]) => (a < b ? -1 : 1))

const step = fc.record({
  partition: fc.nat(2),
  /** How far the partition's own time goes on. */
  ahead: fc.oneof(fc.nat(90_000), fc.nat(40 * 60_000), fc.constantFrom(26 * 60 * minute)),
  late: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(23 * 60 * minute)),
  passes: fc.constantFrom(0, 0, 0, 1_000, 12_000),
  next: fc.constantFrom('', 'user', 'all', 'restart user', 'restart statistics'),
})

describe('windows', () => {
  it('end as a recount whatever partition is silent, for how long, and how far the others have come', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), steps => {
        const pipeline = new Pipeline(3, 1)
        const ofPartition = pipeline.users.map(task =>
          names.find(name => pipeline.taskOf(name) === task),
        )
        const newest = [t0, t0, t0]
        const times: number[] = []
        for (const s of steps) {
          const p = s.partition
          newest[p] += s.ahead
          const ts = newest[p] - s.late
          times.push(ts)
          pipeline.send(impression(ofPartition[p] as string, ts, {}))
          if (s.passes > 0) pipeline.pass(s.passes)
          if (s.next === 'user') pipeline.commitUser(p)
          else if (s.next === 'all') pipeline.commitAll()
          else if (s.next === 'restart user') {
            pipeline.commitUser(p)
            pipeline.users[p].restart()
          } else if (s.next === 'restart statistics') {
            pipeline.commitStatistics()
            pipeline.statistics[0].restart()
          }
        }
        const end = Math.max(...newest) + 30 * 60 * minute
        for (const user of ofPartition) {
          times.push(end)
          pipeline.send(impression(user as string, end, {}))
        }
        pipeline.commitAll()
        pipeline.pass(20_000)
        const open = (key: string): boolean => Number(key.split('-')[1]) + minute > end
        const expected = sorted(recount(times)).filter(([key]) => !open(key))
        expect(sorted(written(pipeline)).filter(([key]) => !open(key))).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })

  it('of all partitions close although one of them never says a word', () => {
    const pipeline = new Pipeline(3, 1)
    const users = names.filter(name => pipeline.taskOf(name) !== pipeline.users[2])
    for (const user of users) pipeline.send(impression(user, t0, {}))
    for (const user of users) pipeline.send(impression(user, t0 + 5 * minute, {}))
    pipeline.commitAll()
    pipeline.pass(9_000)
    expect(written(pipeline).size).toBe(0)
    pipeline.pass(2_000)
    expect(written(pipeline).get(`${t0}-${t0 + minute}`)).toBe(users.length)
  })

  it('are not closed early by a clock that jumps, nor by a process that was held', () => {
    const pipeline = new Pipeline(2, 1)
    const fast = names.find(name => pipeline.taskOf(name) === pipeline.users[0]) as string
    const slow = names.find(name => pipeline.taskOf(name) === pipeline.users[1]) as string
    pipeline.send(impression(slow, t0, {}))
    pipeline.send(impression(fast, t0 + 5 * minute, {}))
    pipeline.commitAll()
    pipeline.pass(2_000)
    for (const jump of [3_600_000, -3_600_000, 86_400_000]) {
      pipeline.now += jump
      pipeline.commitStatistics()
      expect(written(pipeline).size).toBe(0)
    }
    pipeline.pass(10_000)
    expect(written(pipeline).get(`${t0}-${t0 + minute}`)).toBe(1)
  })
})

describe('a watermark', () => {
  /** Looks once a second. */
  function listen(watermark: Watermark, seconds: number, now: { at: number }): void {
    for (let k = 0; k < seconds; k++) {
      now.at += 1_000
      watermark.advance(now.at, true)
    }
  }

  it('M1, M2: a silent source lets windows close after a while, and be forgotten much later', () => {
    const watermark = new Watermark(10_000, () => 2)
    const now = { at: 0 }
    watermark.hear(0, 1_000_000)
    watermark.hear(1, 2_000_000)
    listen(watermark, 1, now)
    expect([watermark.value, watermark.horizon]).toEqual([1_000_000, 1_000_000])
    for (let k = 0; k < 12; k++) {
      watermark.hear(1, 3_000_000)
      listen(watermark, 1, now)
    }
    expect([watermark.value, watermark.horizon]).toEqual([3_000_000, 1_000_000])
    for (let k = 0; k < 300; k++) {
      watermark.hear(1, 3_000_000)
      listen(watermark, 1, now)
    }
    expect(watermark.horizon).toBe(3_000_000)
    // it is heard again: nothing goes back
    watermark.hear(0, 1_500_000)
    listen(watermark, 1, now)
    expect([watermark.value, watermark.horizon]).toEqual([3_000_000, 3_000_000])
  })

  it('M2: forgets by the others where there is no room left', () => {
    const watermark = new Watermark(10_000, () => 2)
    watermark.hear(0, 1_000_000)
    watermark.hear(1, 2_000_000)
    for (let second = 1; second <= 12; second++) {
      watermark.hear(1, 2_000_000)
      watermark.advance(second * 1_000, false)
    }
    expect(watermark.horizon).toBe(2_000_000)
  })
})
