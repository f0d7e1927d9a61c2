import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { driftRow, engineOf, feed, hour, quality, t0 } from '../../test/support/alert-rules.ts'
import type { RuleEngine } from './engine.ts'
import type { GivenRule } from './rule-file.ts'

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
