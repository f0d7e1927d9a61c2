import { describe, expect, it } from 'vitest'
import { hash53, randomFrom } from '../../../streams/serde/hash.ts'
import { impression, minute, Pipeline, t0, watch } from '../../../test/support/drift-pipeline.ts'
import type { UserEvent } from '../../user/event.ts'
import { sampleHash } from '../bottom-k.ts'
import { isOver } from '../figures.ts'
import { profileFigures } from '../profiles/index.ts'
import type { Sample } from '../profiles/sample.ts'

const flags = {
  'drift.profiles': 'freshet,evidently,phoenix',
  'drift.reference.windows': '3',
  'drift.minRows': '50',
}

interface Value {
  readonly subject: string
  readonly minute: number
  readonly row: string
  readonly value: number | string
}

/** Minutes of impressions and of plays, some of which go on into the next minute and send their heartbeats twice. */
function events(minutes: number): { list: UserEvent[]; values: Value[] } {
  const random = randomFrom(hash53('samples'))
  const list: UserEvent[] = []
  const values = new Map<string, Value>()
  const put = (subject: string, m: number, row: string, value: number | string): void =>
    void values.set(`${subject} ${m} ${row}`, { subject, minute: m, row, value })
  for (let m = 0; m < minutes; m++)
    for (let u = 0; u < 80; u++) {
      const id = `${m}-${u}`
      const position = Math.floor(random() * (m < 6 ? 20 : 30))
      const device = `d${Math.floor(random() ** (m < 6 ? 1 : 2) * 4)}`
      const shown = impression(`user${u}`, t0 + m * minute + u, { position, device })
      list.push({ ...shown, event: { ...shown.event, eventId: id } } as UserEvent)
      put('feature:position', m, id, position)
      put('feature:context.device', m, id, device)
      let watchedMs = 0
      for (const at of [0, 20_000, 40_000]) {
        watchedMs += Math.floor(random() * 20_000)
        const ts = t0 + m * minute + 30_000 + at
        const beat = watch(`user${u}`, ts, { playId: id, watchedMs })
        list.push(beat)
        if (u % 7 === 0) list.push(beat)
        put('feature:watched_ms', Math.floor((ts - t0) / minute), `user${u}\n${id}`, watchedMs)
      }
    }
  return { list: list.sort((a, b) => a.ts - b.ts), values: [...values.values()] }
}

function sampleOf(values: readonly Value[], limit: number): Sample {
  const held = values
    .map(({ row, value }) => ({ hash: sampleHash(row), value }))
    .sort((a, b) => a.hash - b.hash)
    .slice(0, limit)
    .map(each => each.value)
  return typeof held[0] === 'string'
    ? { kind: 'categories', values: held as string[] }
    : { kind: 'numbers', values: Float64Array.from(held as number[]) }
}

function run(partitions: number, restarts: boolean, more: Record<string, string> = {}) {
  const { list, values } = events(12)
  const pipeline = new Pipeline(partitions, 2, { ...flags, ...more })
  list.forEach((event, i) => {
    pipeline.send(event)
    if (i % 97 === 0) pipeline.commitAll()
    if (restarts && i % 501 === 0) {
      pipeline.commitAll()
      for (const task of [...pipeline.users, ...pipeline.statistics]) task.restart()
    }
  })
  pipeline.drain(t0 + 30 * minute)
  return { pipeline, values }
}

describe("the tools' figures", () => {
  it.each([
    { partitions: 1, restarts: false, limit: 5_000 },
    { partitions: 3, restarts: true, limit: 5_000 },
    { partitions: 3, restarts: true, limit: 60 },
  ])('equal those of the raw values, whatever the partitions and restarts: %o', setting => {
    const { partitions, restarts, limit } = setting
    const { pipeline, values } = run(partitions, restarts, { 'drift.sampleSize': `${limit}` })
    for (const subject of ['feature:position', 'feature:context.device', 'feature:watched_ms']) {
      const of = (from: number, to: number) =>
        values.filter(each => each.subject === subject && each.minute >= from && each.minute < to)
      // the first minute is not whole; a play counts in each minute that it was in, by one hash
      const merged = new Map<string, Value>()
      for (const each of of(1, 4)) merged.set(each.row, each)
      const reference = sampleOf([...merged.values()], limit)
      for (const profile of ['evidently', 'phoenix'] as const)
        for (const m of [5, 8, 10]) {
          const current = sampleOf(of(m, m + 1), limit)
          for (const figure of profileFigures(profile, reference, current)) {
            const row = pipeline
              .rows('drift')
              .find(
                each =>
                  each.profile === profile &&
                  each.subject === subject &&
                  each.segment === '' &&
                  each.statistic === figure.statistic &&
                  each.window_start === t0 + m * minute &&
                  each.window_end === t0 + (m + 1) * minute,
              )
            expect(row).toMatchObject({
              value: figure.value,
              alert: isOver(figure),
              n_current: current.values.length,
              n_reference: reference.values.length,
              reference: 'first',
            })
          }
        }
    }
    expect(pipeline.rows('drift').some(row => row.profile === 'evidently' && row.alert)).toBe(true)
  })

  it('are let go with their window, and cost nothing where no tool is named', () => {
    const rowsLeft = (profiles: string) => {
      const { pipeline } = run(1, false, { 'drift.profiles': profiles })
      return pipeline.statistics.reduce((sum, task) => sum + task.rowCount, 0)
    }
    const without = rowsLeft('freshet')
    const { pipeline } = run(1, false, { 'drift.profiles': 'freshet' })
    expect(pipeline.rows('drift').every(row => row.profile === 'freshet')).toBe(true)
    // a few pieces of the open hour and day, and the references' samples
    expect(rowsLeft('freshet,evidently') - without).toBeLessThan(64 * 2 * 20)
  })

  it('are null, and say why, against a reference that was set by hand', () => {
    const { list } = events(12)
    const pipeline = new Pipeline(1, 1, flags)
    const shards = Array.from({ length: 16 }, () => Array.from({ length: 22 }, () => 5))
    for (const [i, event] of list.entries()) {
      if (i === Math.floor(list.length / 2)) {
        const series = { subject: 'feature:position', segment: '', size: 0 }
        const time = { setAt: 5, from: 0, to: 1, windows: 1, missing: 0 }
        const chosen = { ...series, ...time, name: 'chosen', categories: null, shards }
        pipeline.book.take('chosen', chosen)
      }
      pipeline.send(event)
      if (i % 97 === 0) pipeline.commitAll()
    }
    pipeline.drain(t0 + 30 * minute)
    const told = (subject: string) =>
      pipeline
        .rows('drift')
        .filter(row => row.profile === 'evidently' && row.segment === '' && row.subject === subject)
        .filter(row => row.window_start === t0 + 10 * minute)
        .filter(row => Number(row.window_end) - Number(row.window_start) === minute)
    const rows = told('feature:position')
    const others = told('feature:watched_ms')
    expect(rows.length).toBeGreaterThan(5)
    for (const row of rows) {
      expect(row).toMatchObject({ value: null, threshold: null, alert: false, n_reference: 0 })
      expect(row).toMatchObject({ reference: 'chosen', n_current: 80 })
      expect(row.reason).toMatch(/^reference chosen was set by hand and has no raw values; /)
    }
    expect(rows.map(row => row.statistic).sort()).toEqual(others.map(row => row.statistic).sort())
    expect(others.some(row => row.value !== null && row.reference === 'first')).toBe(true)
  })
})
