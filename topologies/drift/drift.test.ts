import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import {
  facts,
  impression,
  minute,
  Pipeline,
  play,
  t0,
  watch,
} from '../../test/support/drift-pipeline.ts'
import type { UserEvent } from '../user/event.ts'
import { binOf, numberSubjects } from './subjects.ts'

/** What the windows must hold, counted again from the events by the contract's words alone. */
function recount(events: readonly UserEvent[]): Map<string, Map<string, number>> {
  const counts = new Map<string, Map<string, number>>()
  const sizes = [minute, 60 * minute, 1440 * minute]
  const addTo = (
    subject: string,
    parts: readonly string[],
    ms: number,
    ts: number,
    bin: string,
  ) => {
    const start = Math.floor(ts / ms) * ms
    for (const segment of ['', ...parts]) {
      const key = [subject, segment, start, start + ms].join('|')
      const bins = counts.get(key) ?? new Map<string, number>()
      counts.set(key, bins)
      bins.set(bin, (bins.get(bin) ?? 0) + 1)
    }
  }
  const number = (name: string, value: number) =>
    `${binOf((numberSubjects.find(each => each.name === name) as { edges: Float64Array }).edges, value)}`
  for (const ms of sizes) {
    const plays = new Map<string, { ts: number; watchedMs: number; durationMs: number }>()
    for (const event of events) {
      if (event.kind === 'erasure') continue
      const { surface, cohort } = event.event
      const parts = [`surface=${surface}`, ...(cohort === '' ? [] : [`cohort=${cohort}`])]
      if (event.kind === 'impression') {
        const { policy, modelVersion } = event.event
        if (policy !== '') parts.push(`policy=${policy}`)
        if (modelVersion !== '') parts.push(`model=${modelVersion}`)
      }
      if (event.closedSessionMs >= 0)
        addTo(
          'feature:session_length',
          parts,
          ms,
          event.ts,
          number('feature:session_length', event.closedSessionMs),
        )
      if (event.kind === 'impression') {
        addTo(
          'feature:position',
          parts,
          ms,
          event.ts,
          number('feature:position', event.event.position),
        )
        if (event.event.score !== null)
          addTo(
            'prediction:ranker',
            parts,
            ms,
            event.ts,
            number('prediction:ranker', event.event.score),
          )
        const device = event.event.context.device
        if (device) addTo('feature:context.device', parts, ms, event.ts, device)
      }
      if (event.kind === 'watch') {
        const { playId, watchedMs, durationMs } = event.event
        const key = `${playId}|${Math.floor(event.ts / ms)}`
        const last = plays.get(key)
        if (!last || watchedMs > last.watchedMs)
          plays.set(key, { ts: event.ts, watchedMs, durationMs })
      }
    }
    for (const { ts, watchedMs, durationMs } of plays.values()) {
      addTo('feature:watched_ms', ['surface=home'], ms, ts, number('feature:watched_ms', watchedMs))
      if (durationMs > 0)
        addTo(
          'feature:watched_ratio',
          ['surface=home'],
          ms,
          ts,
          number('feature:watched_ratio', Math.min(1, watchedMs / durationMs)),
        )
    }
  }
  return counts
}

/** The fine histograms written, in the recount's form. */
function written(pipeline: Pipeline, until: number): Map<string, Map<string, number>> {
  const result = new Map<string, Map<string, number>>()
  for (const row of pipeline.rows('histograms')) {
    const id = String(row.edges_id)
    if (id.includes('@') || id.startsWith('reference:') || row.subject === 'label:positive')
      continue
    if (Number(row.window_start) >= until) continue
    const names = row.categories as string[]
    const bins = new Map<string, number>()
    for (const [bin, count] of (row.counts as number[]).entries())
      if (count !== 0) bins.set(names[bin] ?? `${bin}`, count)
    if (bins.size > 0)
      result.set([row.subject, row.segment, row.window_start, row.window_end].join('|'), bins)
  }
  return result
}

const sorted = (counts: Map<string, Map<string, number>>) =>
  [...counts]
    .map(([key, bins]) => [key, [...bins].sort()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))

/** Out-of-order plays, impressions and session ends of a few users over `minutes`. */
function eventsFrom(seed: number, minutes: number): UserEvent[] {
  const random = randomFrom(hash53(`events ${seed}`))
  const list: { arrives: number; event: UserEvent }[] = []
  const add = (event: UserEvent) =>
    list.push({ arrives: event.ts + (random() < 0.2 ? random() * 4 * minute : 0), event })
  for (let u = 0; u < 6; u++)
    for (let p = 0; p < 4; p++) {
      const user = `u${u}`
      const start = t0 + Math.floor(random() * minutes * minute)
      const surface = random() < 0.5 ? 'home' : 'shorts'
      const score = random() < 0.3 ? null : (random() - 0.3) * 20
      const device = random() < 0.2 ? undefined : `d${Math.floor(random() * 3)}`
      const position = Math.floor(random() * 30)
      const cohort = random() < 0.3 ? '' : `c${Math.floor(random() * 3)}`
      const [policy, model] = random() < 0.3 ? ['', ''] : [`p${u % 2}`, `m${p % 3}`]
      add(impression(user, start, { position, score, surface, device, cohort, policy, model }))
      const durationMs = random() < 0.2 ? 0 : 100_000
      let watchedMs = 0
      for (let beat = 0; beat < 6; beat++) {
        watchedMs += Math.floor(random() * 30_000)
        const closedSessionMs = random() < 0.1 ? Math.floor(random() * 1e7) : -1
        const ts = start + beat * 40_000
        add(watch(user, ts, { playId: `p${u}-${p}`, watchedMs, durationMs, closedSessionMs }))
      }
    }
  return list.sort((a, b) => a.arrives - b.arrives).map(each => each.event)
}

describe('windows', () => {
  it('equal a recount, whatever the partitions, commits, order of packets and restarts (D1)', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (seed, partitions, statistics) => {
          const random = randomFrom(hash53(`run ${seed}`))
          const events = eventsFrom(seed, 150)
          const pipeline = new Pipeline(partitions, statistics)
          for (const event of events) {
            pipeline.send(event)
            const dice = random()
            if (dice < 0.3) pipeline.commitUser(Math.floor(random() * partitions))
            else if (dice < 0.4) {
              pipeline.now += 3_000
              pipeline.commitStatistics()
            } else if (dice < 0.43) {
              const task = Math.floor(random() * partitions)
              pipeline.commitUser(task)
              pipeline.users[task].restart()
            } else if (dice < 0.46) {
              pipeline.commitStatistics()
              for (const task of pipeline.statistics) task.restart()
            }
          }
          const end = t0 + 3 * 1440 * minute
          pipeline.drain(end)
          expect(sorted(written(pipeline, end))).toEqual(sorted(recount(events)))
        },
      ),
      { numRuns: 12 },
    )
  })

  it('are corrected by what comes late, with a newer revision, and not once the grace is over', () => {
    const pipeline = new Pipeline(1, 1, { 'drift.grace': '1h' })
    pipeline.send(impression('a', t0, { position: 3 }))
    pipeline.drain(t0 + 5 * minute)
    const row = () =>
      pipeline
        .rows('histograms')
        .find(
          each =>
            each.subject === 'feature:position' &&
            each.segment === '' &&
            each.window_start === t0 &&
            each.window_end === t0 + minute,
        )
    expect(row()).toMatchObject({ n: 1, revision: 1 })
    pipeline.send(impression('a', t0 + 10, { position: 3 }))
    pipeline.drain(t0 + 6 * minute)
    expect(row()).toMatchObject({ n: 2, revision: 2 })
    // the revision goes on after a restart
    for (const task of pipeline.statistics) task.restart()
    pipeline.send(impression('a', t0 + 20, { position: 3 }))
    pipeline.drain(t0 + 7 * minute)
    expect(row()).toMatchObject({ n: 3, revision: 3 })
    pipeline.send(impression('a', t0 + 70 * minute, {}))
    pipeline.drain(t0 + 71 * minute)
    pipeline.send(impression('a', t0 + 10, { position: 3 }))
    pipeline.drain(t0 + 72 * minute)
    expect(row()).toMatchObject({ n: 3, revision: 3 })
  })

  it('have the first 16 values of a dimension as segments; later ones count in the whole alone', () => {
    const pipeline = new Pipeline(1, 1)
    for (let k = 0; k < 40; k++)
      pipeline.send(impression('a', t0 + k, { cohort: `c${k}`, policy: 'p' }))
    pipeline.drain(t0 + 5 * minute)
    const rows = pipeline
      .rows('histograms')
      .filter(row => row.subject === 'feature:position' && row.window_start === t0)
      .filter(row => Number(row.window_end) - Number(row.window_start) === minute)
    const n = (segment: string) => rows.find(row => row.segment === segment)?.n
    expect(n('')).toBe(40)
    expect(n('policy=p')).toBe(40)
    expect(n('cohort=c15')).toBe(1)
    expect(n('cohort=c16')).toBeUndefined()
    expect(rows).toHaveLength(1 + 1 + 16 + 1)
  })

  it('have the segments that are asked for', () => {
    const pipeline = new Pipeline(1, 1, { 'drift.segments': 'policy' })
    pipeline.send(impression('a', t0, { cohort: 'c', policy: 'p', model: 'm' }))
    pipeline.drain(t0 + 5 * minute)
    const segments = new Set(pipeline.rows('histograms').map(row => row.segment))
    expect([...segments].sort()).toEqual(['', 'policy=p'])
  })

  it('are held open by the slowest partition, but not by one that fell silent', () => {
    const pipeline = new Pipeline(2, 1)
    const closed = () => pipeline.rows('histograms').length > 0
    const users = ['a', 'b', 'c', 'd', 'e', 'f']
    const fast = users.find(user => pipeline.taskOf(user) === pipeline.users[0]) as string
    const slow = users.find(user => pipeline.taskOf(user) === pipeline.users[1]) as string
    pipeline.send(impression(fast, t0 + 5 * minute, {}))
    pipeline.commitAll()
    expect(closed()).toBe(false)
    pipeline.send(impression(slow, t0, {}))
    pipeline.commitAll()
    expect(closed()).toBe(false)
    pipeline.pass(9_000)
    pipeline.send(impression(fast, t0 + 6 * minute, {}))
    pipeline.commitAll()
    expect(closed()).toBe(false)
    pipeline.pass(2_000)
    expect(closed()).toBe(true)
  })
})

describe('plays', () => {
  it('of users without full consent are counted alike and never written', () => {
    const pipeline = new Pipeline(1, 1)
    for (const consent of ['full', 'contextual'] as const)
      for (let beat = 0; beat < 3; beat++)
        pipeline.send(
          watch(consent, t0 + beat * 50_000, {
            playId: consent,
            watchedMs: beat * 10_000,
            consent,
          }),
        )
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(2) // one play and the watermark
    // less consent later takes the stored play out
    pipeline.send(
      watch('full', t0 + 160_000, { playId: 'full', watchedMs: 60_000, consent: 'contextual' }),
    )
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(1)
    pipeline.drain(t0 + 2880 * minute)
    const day = pipeline
      .rows('histograms')
      .find(
        row =>
          row.subject === 'feature:watched_ratio' &&
          Number(row.window_end) - Number(row.window_start) === 1440 * minute,
      )
    expect(day).toMatchObject({ n: 2 })
  })

  it('are forgotten ten minutes after their last heartbeat, and with an erasure', () => {
    const pipeline = new Pipeline(1, 1)
    pipeline.send(watch('a', t0, { playId: 'p', watchedMs: 1 }))
    pipeline.send(watch('b', t0 + 9 * minute, { playId: 'p', watchedMs: 1 }))
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(3)
    pipeline.send(impression('c', t0 + 12 * minute, {}))
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(2)
    pipeline.send({ ...facts, kind: 'erasure', userId: 'b', ts: 0 } as unknown as UserEvent)
    pipeline.send(impression('c', t0 + 12 * minute, {}))
    pipeline.commitUser(0)
    expect(pipeline.users[0].rowCount).toBe(1)
  })
})

describe('alerts', () => {
  const flags = { 'drift.reference.windows': '5' }
  const ratioAlerts = (pipeline: Pipeline) =>
    pipeline.alerts.filter(
      each => each.rule === 'drift_1m' && each.subject === 'feature:watched_ratio',
    )

  it('rise soon after a shift and not before, end when it is over, and survive a restart', () => {
    const pipeline = new Pipeline(2, 1, flags)
    const shifted = (m: number) => (m >= 30 && m < 45 ? 0.7 : 0.45)
    play(pipeline, 30, shifted)
    expect(pipeline.alerts).toEqual([])
    for (let m = 30; m < 60; m++) {
      play(pipeline, 1, shifted, m)
      for (const task of [...pipeline.users, ...pipeline.statistics]) task.restart()
    }
    const alerts = ratioAlerts(pipeline)
    expect(alerts).toHaveLength(2)
    const [raised, cleared] = alerts
    expect(raised).toMatchObject({ since: t0 + 30 * minute, until: null })
    expect(raised.value).toBeGreaterThan(raised.threshold)
    expect(cleared).toMatchObject({ since: t0 + 30 * minute, until: t0 + 48 * minute })
    expect(
      pipeline
        .rows('alerts')
        .filter(row => row.subject === 'feature:watched_ratio' && row.rule === 'drift_1m'),
    ).toMatchObject([{ revision: 2, until: t0 + 48 * minute }])
  })

  it('stay silent over two quiet hours of alike events', () => {
    const pipeline = new Pipeline(1, 1, flags)
    play(pipeline, 120, () => 0.45)
    expect(pipeline.alerts).toEqual([])
    const psi = pipeline.rows('drift').filter(row => row.statistic === 'psi' && row.value !== null)
    expect(psi.length).toBeGreaterThan(300)
    expect(psi.filter(row => row.alert).length / psi.length).toBeLessThan(0.005)
  })

  it('the figures can be computed again from the histograms written', () => {
    const pipeline = new Pipeline(1, 1, flags)
    play(pipeline, 12, () => 0.5)
    const start = t0 + 9 * minute
    const pick = (id: (edgesId: string) => boolean, window?: number) =>
      pipeline
        .rows('histograms')
        .find(
          row =>
            row.subject === 'feature:watched_ratio' &&
            row.segment === '' &&
            id(String(row.edges_id)) &&
            (window === undefined
              ? Number(row.window_end) - Number(row.window_start) === 5 * minute
              : row.window_start === window && Number(row.window_end) === window + minute),
        )?.counts as number[]
    const r = pick(id => id.startsWith('reference:first@'))
    const c = pick(id => id.startsWith('first@'), start)
    const share = (counts: number[], i: number) =>
      (counts[i] + 0.5) / (counts.reduce((a, b) => a + b, 0) + counts.length / 2)
    const psi = r.reduce(
      (sum, _, i) => sum + (share(r, i) - share(c, i)) * Math.log(share(r, i) / share(c, i)),
      0,
    )
    const row = pipeline
      .rows('drift')
      .find(
        each =>
          each.subject === 'feature:watched_ratio' &&
          each.segment === '' &&
          each.statistic === 'psi' &&
          each.window_start === start &&
          each.window_end === start + minute,
      )
    expect(row?.value).toBeCloseTo(psi, 12)
    expect(row).toMatchObject({ reference: 'first', alert: false, reason: '' })
  })
})
