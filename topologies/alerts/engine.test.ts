import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { type EngineSettings, type News, RuleEngine, silentMs } from './engine.ts'
import { type GivenRule, ruleFile, rulesInForce } from './rule-file.ts'
import { readSeries, type Series, writeSeries } from './series.ts'

const minute = 60_000
const hour = 60 * minute
const t0 = Date.parse('2026-01-01T00:00:00Z')

const rulesOf = (...rules: object[]) => rulesInForce([], ruleFile.parse({ rules }))

function engineOf(rules: readonly object[], settings: Partial<EngineSettings> = {}): RuleEngine {
  return new RuleEngine(rulesOf(...rules), { database: 'freshet', maxSeries: 100, ...settings })
}

const psi = {
  name: 'psi',
  table: 'drift',
  where: { statistic: 'psi', profile: 'freshet' },
  column: 'value',
  window: '1m',
  above: 'threshold',
  atLeast: 0.02,
  raise: 2,
  clear: 3,
}

const driftRow = (m: number, value: number | null, given: TableRow = {}): TableRow => ({
  subject: 'feature:a',
  segment: '',
  window_start: t0 + m * minute,
  window_end: t0 + (m + 1) * minute,
  profile: 'freshet',
  statistic: 'psi',
  value,
  threshold: 0.01,
  n_current: 500,
  revision: 1,
  ...given,
})

const quality = (h: number, value: number | null, given: TableRow = {}): TableRow => ({
  metric: 'ctr',
  segment: '',
  policy: 'p',
  arm: '',
  surface: 'home',
  window_start: t0 + h * hour,
  window_end: t0 + (h + 1) * hour,
  value,
  low: null,
  high: null,
  n: 5_000,
  revision: 1,
  ...given,
})

/** Each row in a commit of its own. */
function feed(engine: RuleEngine, table: string, rows: readonly TableRow[]): News[] {
  return rows.flatMap(row => {
    engine.observe(table, row)
    return engine.judge()
  })
}

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

describe('a drop', () => {
  const rule = {
    name: 'fall',
    table: 'quality',
    where: { metric: 'ctr', segment: '' },
    column: 'value',
    window: '1h',
    drop: 0.3,
    against: 4,
    minN: 1_000,
  }
  const run = (values: readonly number[], given: (h: number) => TableRow = () => ({})) =>
    feed(
      engineOf([rule]),
      'quality',
      values.map((value, h) => quality(h, value, given(h))),
    )

  it('is held against the mean before it began, until it is over', () => {
    const news = run([0.1, 0.1, 0.1, 0.1, 0.06, 0.06, 0.06, 0.1, 0.1, 0.1])
    expect(news).toMatchObject([
      { state: 'raised', subject: 'ctr policy=p surface=home', since: t0 + 4 * hour },
      { state: 'cleared', since: t0 + 4 * hour, until: t0 + 10 * hour },
    ])
    expect(news[0].threshold).toBeCloseTo(0.07, 12)
    expect(news[0].message).toContain('0.06 is over 30% below the mean of the 4 before, 0.1 in')
  })

  it('that stays becomes what is usual, after as many windows as it is held against', () => {
    const news = run([...Array(4).fill(0.1), ...Array(12).fill(0.05)])
    expect(news.map(({ state, until }) => [state, until])).toEqual([
      ['raised', null],
      ['cleared', t0 + 11 * hour],
    ])
  })

  it('is none while there is no history, of few rows, or where its interval reaches the mean', () => {
    expect(run([0.1, 0.1, 0.1, 0.05, 0.05])).toEqual([])
    const fall = [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05]
    expect(run(fall, () => ({ high: 0.11 }))).toEqual([])
    expect(run(fall, h => ({ n: h > 3 ? 999 : 5_000 }))).toEqual([])
    expect(run(fall, h => ({ high: h > 3 ? 0.06 : 0.11 }))).toHaveLength(1)
  })

  it('of the only policy on the only surface is that of the whole, told once', () => {
    const commit = (engine: RuleEngine, h: number, nOfPolicy: number) => {
      const value = h < 4 ? 0.1 : 0.05
      engine.observe('quality', quality(h, value, { n: nOfPolicy }))
      engine.observe('quality', quality(h, value, { policy: '', surface: '' }))
      engine.observe('quality', quality(h, value, { n: nOfPolicy, surface: '' }))
      return engine.judge()
    }
    const subjects = (nOfPolicy: number) => {
      const engine = engineOf([rule])
      return [0, 1, 2, 3, 4, 5].flatMap(h => commit(engine, h, nOfPolicy)).map(n => n.subject)
    }
    expect(subjects(5_000)).toEqual(['ctr'])
    expect(subjects(3_000)).toEqual(['ctr', 'ctr policy=p', 'ctr policy=p surface=home'])
  })

  it('of a constant 0 is none, and nothing is NaN', () => {
    expect(run([0, 0, 0, 0, 0, 0])).toEqual([])
  })
})

describe('other conditions', () => {
  const moment = (t: number, given: TableRow): TableRow => ({ time: t0 + t, revision: 1, ...given })

  it('a ratio outside its bounds; the figure that all bins of a window repeat is judged once', () => {
    const rule = {
      name: 'calibration',
      table: 'calibration',
      where: { segment: '' },
      column: 'expected_observed',
      window: '1h',
      outside: [0.8, 1.25],
      minN: 1_000,
      raise: 2,
    }
    const bins = (h: number, ratio: number | null, n: number) =>
      Array.from({ length: 10 }, (_, bin) => ({
        model: 'm',
        segment: '',
        bin,
        n: n / 10,
        n_window: n,
        window_start: t0 + h * hour,
        window_end: t0 + (h + 1) * hour,
        expected_observed: ratio,
        revision: 1,
      }))
    const engine = engineOf([rule])
    const commit = (rows: readonly TableRow[]) => {
      for (const row of rows) engine.observe('calibration', row)
      return engine.judge()
    }
    expect(commit(bins(0, 1.5, 1_000))).toEqual([])
    expect(commit(bins(1, 1.5, 999))).toEqual([])
    expect(commit(bins(2, 0.5, 1_000))).toMatchObject([
      { subject: 'm', value: 0.5, threshold: 0.8, since: t0 },
    ])
    expect(commit(bins(3, null, 1_000))).toEqual([])
  })

  it('one alert of an experiment whose arms are not as they were dealt, and one of a metric that says stop', () => {
    const engine = engineOf([
      { name: 'srm', table: 'experiments', column: 'srm_p', below: 0.001, raise: 1 },
      {
        name: 'stop',
        table: 'experiments',
        column: 'guardrail_verdict',
        is: 'stop',
        raise: 1,
        clear: 1,
      },
    ])
    const at = (t: number, verdict: string) => {
      for (const metric of ['ctr', 'watch_time'])
        for (const arm of ['a', 'b'])
          engine.observe(
            'experiments',
            moment(t, {
              experiment: 'x',
              metric,
              arm,
              n: 10,
              srm_p: 1e-9,
              guardrail_verdict: metric === 'ctr' && arm === 'b' ? verdict : 'ship',
            }),
          )
      return engine.judge()
    }
    const found = at(0, 'stop')
    expect(found.map(({ rule, subject }) => [rule, subject])).toEqual([
      ['srm', 'x'],
      ['stop', 'x metric=ctr arm=b'],
    ])
    expect(found[1]).toMatchObject({ value: null, threshold: null })
    expect(found[1].message).toContain('guardrail_verdict is stop')
    expect(at(60_000, 'ship')).toMatchObject([{ rule: 'stop', state: 'cleared' }])
  })

  it('a partition of the pipeline is its subject', () => {
    const engine = engineOf([
      { name: 'slow', table: 'pipeline', column: 'freshness_p99', above: 1_000, raise: 2 },
    ])
    const rows = [0, 1, 2].map(t =>
      moment(t * 10_000, { topology: 'user', partition: 3, freshness_p99: t === 0 ? null : 1_500 }),
    )
    expect(feed(engine, 'pipeline', rows)).toMatchObject([
      { subject: 'user-3', segment: '', since: t0 + 10_000, value: 1_500, threshold: 1_000 },
    ])
  })

  it('whatever the figures, a value or threshold is a number or null', () => {
    const odd = fc.oneof(
      fc.double(),
      fc.constantFrom<unknown>(null, Number.NaN, Number.POSITIVE_INFINITY, 'x', undefined, true),
    )
    const rules: GivenRule[] = [
      { name: 'above', above: 'threshold', atLeast: 0 },
      { name: 'below', below: 0.1 },
      { name: 'outside', outside: [0, 1] },
      { name: 'drop', drop: 0.1, against: 2 },
    ].map(
      each =>
        ({
          table: 'drift',
          column: 'value',
          window: '1m',
          raise: 1,
          clear: 1,
          ...each,
        }) as GivenRule,
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(odd, odd)), pairs => {
        const rows = pairs.map(([value, threshold], m) =>
          driftRow(m, value as number, { threshold: threshold as number }),
        )
        for (const { value, threshold } of feed(engineOf(rules), 'drift', rows)) {
          expect(value === null || Number.isFinite(value)).toBe(true)
          expect(threshold === null || Number.isFinite(threshold)).toBe(true)
        }
      }),
    )
  })
})
