import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { driftRow, engineOf, feed, hour, minute, psi, t0 } from '../../test/support/alert-rules.ts'
import { silentMs } from './engine.ts'
import { readSeries, type Series, writeSeries } from './series.ts'

describe('an alarm', () => {
  it('is raised by so many windows in a row and ended by so many, and says since when, how far and by which query', () => {
    const engine = engineOf([psi])
    const values = [0.01, 0.5, 0.01, 0.5, 0.6, 0.7, 0.01, 0.5, 0.01, 0.01, 0.01, 0.01]
    const news = feed(
      engine,
      'drift',
      values.map((value, m) => driftRow(m, value)),
    )
    expect(news).toMatchObject([
      { state: 'raised', since: t0 + 3 * minute, until: null, value: 0.6, threshold: 0.02 },
      { state: 'cleared', since: t0 + 3 * minute, until: t0 + 11 * minute, value: 0.01 },
    ])
    expect(news[0].message).toBe(
      'feature:a: psi 0.6 is above 0.02 (30 times) in windows of 1m since 2026-01-01T00:03:00.000Z',
    )
    expect(news[0].query).toBe(
      "SELECT window_start, value, threshold, n_current FROM freshet.v_drift WHERE subject = 'feature:a' AND segment = '' AND profile = 'freshet' AND statistic = 'psi' AND window_end - window_start = 60 AND window_start >= toDateTime64('2025-12-31 23:39:00.000', 3, 'UTC') ORDER BY window_start",
    )
    expect(news[1].query).toBe(news[0].query)
  })

  it("needs the row's own threshold and the floor", () => {
    const engine = engineOf([{ ...psi, raise: 1 }])
    const rows = [
      driftRow(0, 0.019),
      driftRow(1, 0.5, { threshold: 0.6 }),
      driftRow(2, 0.5, { threshold: null }),
      driftRow(3, 0.02),
    ]
    expect(feed(engine, 'drift', rows).map(({ since }) => since)).toEqual([t0 + 3 * minute])
  })

  it('is judged by each window once, in order of time: corrections change nothing (R1)', () => {
    const engine = engineOf([{ ...psi, clear: 1 }])
    const rows = [
      driftRow(0, 0.5),
      driftRow(0, 0.5, { revision: 2 }),
      driftRow(0, 0.5),
      driftRow(2, 0.5),
      driftRow(1, 0.01),
      driftRow(2, 0.01, { revision: 2 }),
    ]
    expect(feed(engine, 'drift', rows)).toMatchObject([{ state: 'raised', since: t0 }])
  })

  it('takes a window whose figure is told later, by a newer revision, when it is told (R1)', () => {
    const engine = engineOf([psi])
    const rows = [driftRow(0, null), driftRow(0, 0.5, { revision: 3 }), driftRow(1, 0.5)]
    expect(feed(engine, 'drift', rows)).toMatchObject([{ state: 'raised', since: t0 }])
  })

  it('does not see what can not be told (R2)', () => {
    const engine = engineOf([{ ...psi, minN: 100, clear: 1 }])
    const rows = [
      driftRow(0, 0.5),
      driftRow(1, 0.01, { n_current: 99 }),
      driftRow(2, null),
      driftRow(3, 0.01, { threshold: null }),
      driftRow(4, Number.NaN),
      driftRow(5, 0.5),
    ]
    expect(feed(engine, 'drift', rows)).toMatchObject([{ state: 'raised', since: t0 }])
  })

  it('is of the rows that fit all its patterns, with ends, lists and exceptions', () => {
    const fitting = (where: object, subjects: readonly string[]) => {
      const engine = engineOf([{ ...psi, where, raise: 1 }])
      const rows = subjects.map(subject => driftRow(0, 0.5, { subject, statistic: 'psi' }))
      return feed(engine, 'drift', rows).map(({ message }) => message.split(/[ :]/)[1])
    }
    const all = ['feature:a', 'feature:b', 'label:c']
    expect(fitting({}, all)).toEqual(['a', 'b', 'c'])
    expect(fitting({ subject: '*' }, all)).toEqual(['a', 'b', 'c'])
    expect(fitting({ subject: 'feature:*' }, all)).toEqual(['a', 'b'])
    expect(fitting({ subject: ['label:c', 'feature:b'] }, all)).toEqual(['b', 'c'])
    expect(fitting({ subject: '!feature:a' }, all)).toEqual(['b', 'c'])
    expect(fitting({ subject: ['feature:*', '!feature:b'] }, all)).toEqual(['a'])
    expect(fitting({ subject: 'feature:*', statistic: 'w1' }, all)).toEqual([])
  })

  it('is told once where the segment is the whole, and apart where it is not', () => {
    const rows = (n: number) =>
      [0, 1].flatMap(m => [
        driftRow(m, 0.5),
        driftRow(m, 0.5, { segment: 'surface=home', n_current: n }),
      ])
    expect(feed(engineOf([psi]), 'drift', rows(500)).map(({ segment }) => segment)).toEqual([''])
    expect(feed(engineOf([psi]), 'drift', rows(300)).map(({ segment }) => segment)).toEqual([
      '',
      'surface=home',
    ])
  })

  it('is not told of a segment that is the whole by corrections that come behind newer windows (R1)', () => {
    const engine = engineOf([psi])
    const both = (m: number, more = {}) =>
      ['', 'surface=home'].map(segment => driftRow(m, 0.5, { segment, ...more }))
    feed(
      engine,
      'drift',
      [0, 1, 2].flatMap(m => both(m)),
    )
    expect(
      feed(
        engine,
        'drift',
        [0, 1].flatMap(m => both(m, { revision: 2, n_current: 999 })),
      ),
    ).toEqual([])
  })

  it('ends where nothing is heard of it any more, and where its rule is gone (R3)', () => {
    const engine = engineOf([psi])
    feed(engine, 'drift', [driftRow(0, 0.5), driftRow(1, 0.5)])
    const later = 2 + Math.ceil((silentMs + hour) / minute)
    const news = feed(engine, 'drift', [driftRow(later, 0.01, { subject: 'feature:b' })])
    expect(news).toMatchObject([
      { state: 'cleared', subject: 'feature:a', since: t0, until: t0 + 2 * minute, value: null },
    ])
    const held: Series[] = []
    const before = engineOf([psi], { changed: series => held.push(series) })
    feed(before, 'drift', [driftRow(0, 0.5), driftRow(1, 0.5)])
    const dropped: Series[] = []
    const after = engineOf([{ ...psi, name: 'other' }], { dropped: row => dropped.push(row) })
    after.restore(held[1])
    expect(after.judge()).toMatchObject([{ rule: 'psi', state: 'cleared', since: t0 }])
    expect(dropped).toHaveLength(1)
    expect(after.judge()).toEqual([])
  })

  it('holds so many series at most; silent ones make room (R4)', () => {
    let refused = 0
    const engine = engineOf([psi], { maxSeries: 2, refused: () => refused++ })
    const of = (subject: string, m: number) => driftRow(m, 0.5, { subject })
    feed(engine, 'drift', [of('a', 0), of('b', 0), of('c', 0)])
    expect([engine.size, refused]).toEqual([2, 1])
    const later = Math.ceil(silentMs / minute) + 10
    feed(engine, 'drift', [of('b', later), of('c', later)])
    expect([engine.size, refused]).toEqual([2, 1])
    expect(feed(engine, 'drift', [of('c', later + 1)])).toMatchObject([{ subject: 'c' }])
  })

  it('goes on after a restart as if there had been none', () => {
    const values = fc.array(fc.constantFrom(0.01, 0.015, 0.5, null), { maxLength: 60 })
    const rules = [
      { ...psi, name: 'over' },
      { ...psi, name: 'fall', above: undefined, atLeast: undefined, drop: 0.5, against: 4 },
    ].map(rule => JSON.parse(JSON.stringify(rule)))
    fc.assert(
      fc.property(values, fc.infiniteStream(fc.boolean()), (list, restarts) => {
        const rows = list.map((value, m) => driftRow(m, value))
        const whole = feed(engineOf(rules), 'drift', rows)
        const stored = new Map<string, { id: Series; bytes: Buffer }>()
        const w = new ByteWriter()
        const make = () =>
          engineOf(rules, {
            changed(id) {
              w.reset()
              writeSeries(id, w)
              stored.set(id.rule, { id, bytes: w.copy() })
            },
          })
        let engine = make()
        const pieces = rows.flatMap(row => {
          if (restarts.next().value) {
            engine = make()
            for (const { id, bytes } of stored.values())
              engine.restore(readSeries(id, new ByteReader(bytes)))
          }
          return feed(engine, 'drift', [row])
        })
        expect(pieces).toEqual(whole)
      }),
    )
  })
})
