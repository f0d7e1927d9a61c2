import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { noMetrics } from '../metrics.ts'
import { TaskMeter } from './task-meter.ts'

describe('the counts of a task', () => {
  it('are those since the last row, and go on to the metrics', () => {
    const added: [string, number][] = []
    const meter = new TaskMeter({
      ...noMetrics,
      counter: (name, labels) => ({
        add: (n = 1) => added.push([name + (labels?.reason ?? ''), n]),
      }),
    })
    meter.counter('freshet_events_total', { type: 'watch' }).add(3)
    meter.counter('freshet_events_total', { type: 'impression' }).add(4)
    meter.counter('freshet_dead_letters_total', { reason: 'LATE' }).add()
    meter.counter('freshet_other_total').add(9)
    expect(meter.take()).toMatchObject({ events: 7, deadLetters: 1, late: 0, duplicates: 0 })
    expect(meter.take()).toMatchObject({ events: 0, deadLetters: 0, freshnessP50: null })
    expect(added).toEqual([
      ['freshet_events_total', 3],
      ['freshet_events_total', 4],
      ['freshet_dead_letters_totalLATE', 1],
      ['freshet_other_total', 9],
    ])
  })

  it('tell freshness within 1%, by the quantile that a sorted list has', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1, max: 500_000, noNaN: true }), {
          minLength: 1,
          maxLength: 300,
        }),
        values => {
          const meter = new TaskMeter(noMetrics)
          const histogram = meter.histogram('freshet_freshness_seconds', { output: 'topk' })
          for (const value of values) histogram.observe(value / 1000)
          const sorted = [...values].sort((a, b) => a - b)
          const { freshnessP50, freshnessP99 } = meter.take()
          for (const [q, told] of [
            [0.5, freshnessP50],
            [0.99, freshnessP99],
          ] as const) {
            const exact = sorted[Math.ceil(q * values.length) - 1]
            expect(Math.abs((told as number) / exact - 1)).toBeLessThan(0.0101)
          }
        },
      ),
    )
  })
})
