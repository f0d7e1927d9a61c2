import { describe, expect, it } from 'vitest'
import { compareReport } from '../../test/support/compare-report.ts'
import { page } from './page.ts'
import { digits, timeLines } from './plots.ts'
import { checksOf, holds, parseTolerances, verdictOf } from './report.ts'

const named = (report: Parameters<typeof checksOf>[0], given: string[] = []) =>
  new Map(checksOf(report, parseTolerances(given)).map(check => [check.name, check]))

describe('tolerances', () => {
  it('hold a report by name, and name what is beyond them', () => {
    const report = compareReport()
    const checks = named(report)
    expect(checks.get('exact')).toMatchObject({ value: 0.75, least: 1, holds: false })
    expect(checks.get('rbo')?.holds).toBe(true)
    expect(checks.get('drift')).toMatchObject({ value: 3990 / 4010, holds: true })
    expect(checks.get('parity')?.value).toBe(0.991)
    expect(verdictOf(report.checks)).toBe('beyond the tolerances: exact, sessions')
    expect(holds(report.checks)).toBe(false)
  })

  it('are set by the call, and may be switched off', () => {
    const report = compareReport()
    const checks = checksOf(report, parseTolerances(['exact=.7,sessions=off', 'rbo=0.99']))
    expect(verdictOf(checks)).toBe('beyond the tolerances: rbo')
    expect(checks.find(({ name }) => name === 'sessions')).toMatchObject({
      least: null,
      holds: null,
      value: 1899 / 1900,
    })
    for (const wrong of ['rbo', 'rbo=2', 'rbo=-1', 'rbo=', 'nothing=1', ''])
      expect(() => parseTolerances([wrong]), wrong).toThrow(
        /--tolerance got .* it takes NAME=SHARE/,
      )
  })

  it('say why a figure is not told, and neither hold nor fail then', () => {
    const report = compareReport({
      exact: { sessions: null, labels: null, counts: null, histograms: null },
      exactReason: 'live has taken in 12 records more',
      counts: { atReplay: 1, atWith: 2, sets: [], agreement: 0.5, largest: [] },
      parity: null,
      tables: null,
    })
    const checks = named(report)
    for (const [name, reason] of [
      ['exact', /12 records more/],
      ['counts', /different times/],
      ['parity', /no examples/],
      ['quality', /clickhouse.url is none/],
    ] as const)
      expect(checks.get(name), name).toMatchObject({
        value: null,
        holds: null,
        reason: expect.stringMatching(reason),
      })
    const untold = compareReport({
      ...report,
      lists: null,
      sessions: null,
      counts: null,
      checks: undefined,
    })
    expect(verdictOf(untold.checks)).toMatch(/^nothing could be compared; not told: exact, /)
    expect(holds(untold.checks)).toBe(false)
  })
})

describe('the page', () => {
  const html = page(compareReport())

  it('is one file that asks for nothing, and runs nothing', () => {
    expect(html).not.toMatch(/(src|href)=|url\(|@import|<script|https?:/)
    expect(html).toContain('prefers-color-scheme: dark')
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
    expect(html).toContain('a note with &lt;b&gt;marks&lt;/b&gt; &amp; &quot;quotes&quot;')
  })

  it('closes what it opens, and has no number that is none', () => {
    const open: string[] = []
    for (const [, end, tag, own] of html.matchAll(/<(\/?)([a-z0-9]+)[^>]*?(\/?)>/g)) {
      if (own === '/' || tag === 'meta') continue
      if (end === '') open.push(tag)
      else expect(open.pop()).toBe(tag)
    }
    expect(open).toEqual([])
    expect(html).not.toMatch(/NaN|Infinity|undefined|\[object/)
  })

  it('says the verdict before anything else', () => {
    const text = html.replaceAll(/<style>.*?<\/style>/gs, '')
    expect(text.indexOf('beyond the tolerances')).toBeLessThan(text.indexOf('<h2>'))
  })

  it('stands where there is nothing to show', () => {
    const empty = page(
      compareReport({
        counts: null,
        sessions: null,
        lists: null,
        tables: null,
        quality: [],
        prequential: null,
        parity: null,
        driftOverTime: [],
        options: {},
        notes: [],
      }),
    )
    expect(empty).not.toMatch(/NaN|Infinity|undefined/)
    expect(timeLines([{ series: 'one', at: 5, value: 0 }], 'one point')).not.toMatch(/NaN/)
  })
})

it('writes numbers as people do', () => {
  expect([0, 1, 0.12345, 1234567, 0.00001234, 12345, -0.5, 2500].map(x => digits(x))).toEqual([
    '0',
    '1',
    '0.123',
    '1.23e+6',
    '1.23e-5',
    '12,345',
    '-0.5',
    '2,500',
  ])
})
