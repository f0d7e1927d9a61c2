/** How long lists took, in the histograms: counted where the lists are, and without a threshold. */
import { describe, expect, it } from 'vitest'
import { impression, minute, Pipeline, t0 } from '../../test/support/drift-pipeline.ts'
import { compose, Recommender } from '../../test/support/recommender.ts'
import { MINUTE, START } from '../../test/support/user-task.ts'
import { numberSubjects, subject } from './subjects.ts'

const { name, edges } = numberSubjects[subject.latency]

const windowOf = (pipeline: Pipeline, segment: string, start: number) =>
  pipeline
    .rows('histograms')
    .find(
      row =>
        row.subject === name &&
        row.segment === segment &&
        row.window_start === start &&
        row.window_end === start + minute &&
        row.edges_id === 'latency-half-octaves',
    )

describe('the time that lists take', () => {
  it('has bins that rise, with a second among their edges', () => {
    expect([...edges]).toEqual([...new Set(edges)].sort((a, b) => a - b))
    expect([...edges]).toContain(1000)
  })

  it('counts once a list, at the event time of the task, by surface and cohort', () => {
    const pipeline = new Pipeline(1, 1)
    const { stage } = pipeline.users[0]
    // before the first event there is no event time
    stage.listed({ id: 'early', cohort: 'de' }, 5, ['home'])
    pipeline.send(impression('a', t0 + 10, {}))
    const took = [0, -40, 1, 999, 1000, 1413, 1414, 90_000, 1e12]
    for (const [k, ms] of took.entries())
      stage.listed(
        { id: `u${k}`, cohort: k % 2 ? 'de' : '' },
        ms,
        k < 3 ? ['home'] : ['home', 'next'],
      )
    pipeline.send(impression('a', t0 + 3 * minute, {}))
    stage.listed({ id: 'later', cohort: '' }, 20, ['home'])
    pipeline.drain(t0 + 3 * 1440 * minute)
    expect(windowOf(pipeline, '', t0)).toMatchObject({ n: 3 + 2 * 6, missing: 0 })
    expect(windowOf(pipeline, 'surface=next', t0)).toMatchObject({ n: 6 })
    expect(windowOf(pipeline, 'cohort=de', t0)).toMatchObject({ n: 1 + 2 * 3 })
    expect(windowOf(pipeline, '', t0 + 3 * minute)).toMatchObject({ n: 1 })
    const counts = windowOf(pipeline, 'surface=home', t0)?.counts as number[]
    const expected = new Array(edges.length + 1).fill(0)
    for (const ms of took) expected[[...edges].filter(edge => edge <= ms).length]++
    expect(counts).toEqual(expected)
  })

  it('is compared, but has no threshold and leaves those of others as they are', () => {
    const flags = { 'drift.reference.windows': '5' }
    const thresholds = [false, true].map(withLists => {
      const pipeline = new Pipeline(1, 1, flags)
      for (let m = 0; m < 12; m++) {
        for (let u = 0; u < 200; u++) {
          pipeline.send(impression(`u${u}`, t0 + m * minute + u * 100, { position: u % 7 }))
          if (withLists)
            pipeline.users[0].stage.listed({ id: `u${u}`, cohort: '' }, m < 9 ? 20 + u : 2000 + u, [
              'home',
            ])
        }
        pipeline.now += minute
        pipeline.commitAll()
      }
      const rows = pipeline.rows('drift').filter(row => row.statistic === 'psi')
      const lists = rows.filter(row => row.subject === name && row.value !== null)
      expect(lists.length > 0).toBe(withLists)
      for (const row of lists) {
        expect(row).toMatchObject({ threshold: null, alert: false })
        expect(row.reason).not.toBe('')
      }
      if (withLists) expect(Math.max(...lists.map(row => Number(row.value)))).toBeGreaterThan(1)
      expect(pipeline.alerts).toEqual([])
      return rows
        .filter(row => row.subject === 'feature:position' && row.segment === '')
        .map(row => row.threshold)
    })
    expect(thresholds[0].some(threshold => threshold !== null)).toBe(true)
    expect(thresholds[1]).toEqual(thresholds[0])
  })

  it('is that from the Kafka timestamp to the list, in the recommender that is put together', async () => {
    const composition = await compose()
    let now = START
    const recommender = new Recommender({ composition, now: () => now })
    const like = (user: string, ts: number, recordTs: number) =>
      recommender.arrive(
        {
          type: 'watch',
          eventId: `${user}${ts}`,
          userId: user,
          itemId: `i-${user}`,
          ts,
          surface: 'home',
          playId: `${user}${ts}`,
          watchedMs: 60_000,
          durationMs: 60_000,
          seq: 1,
          endReason: 'finished',
        },
        recordTs,
      )
    like('ann', START, START)
    now = START + 300
    const work = () => {
      recommender.users[0].take()
      recommender.tickAll()
      recommender.commitAll()
    }
    work()
    now = START + 10 * MINUTE + 45_000
    like('bea', START + 10 * MINUTE, START + 10 * MINUTE)
    work()
    like('ann', START + 40 * MINUTE, START + 40 * MINUTE)
    now = START + 40 * MINUTE
    work()
    const rows = [...recommender.sent.rows.values()].filter(
      row =>
        row.subject === name &&
        row.segment === '' &&
        row.edges_id === 'latency-half-octaves' &&
        Number(row.window_end) - Number(row.window_start) === minute,
    )
    const floorsOf = (ts: number) => {
      const start = Math.floor(ts / minute) * minute
      const counts = (rows.find(row => row.window_start === start)?.counts ?? []) as number[]
      return counts.flatMap((count, bin) => (count > 0 ? [edges[bin - 1]] : []))
    }
    expect(floorsOf(START)).toEqual([250])
    expect(floorsOf(START + 10 * MINUTE)).toEqual([32_000])
  })
})
