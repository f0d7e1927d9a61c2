/** Input that nobody would send on purpose: what is told of it, and that it is never NaN. */
import { describe, expect, it } from 'vitest'
import { impression, minute, Pipeline, t0 } from '../../test/support/drift-pipeline.ts'

const hour = 60 * minute
const users = 60

function expectNoNaN(pipeline: Pipeline): void {
  const rows = pipeline.rows('drift')
  expect(rows.length).toBeGreaterThan(0)
  for (const row of rows) {
    if (row.value === null) expect(row.reason).not.toBe('')
    // the rows went through JSON, where NaN is null
    else expect(Number.isFinite(row.value)).toBe(true)
    if (row.alert) expect(row.threshold).not.toBeNull()
  }
}

/** Quiet minutes of impressions. */
function quiet(
  pipeline: Pipeline,
  from: number,
  minutes: number,
  given: (u: number) => Parameters<typeof impression>[2],
): void {
  for (let m = from; m < from + minutes; m++) {
    for (let u = 0; u < users; u++)
      pipeline.send(impression(`u${u}`, t0 + m * minute + u * 900, given(u)))
    pipeline.now += minute
    pipeline.commitAll()
  }
}

const psiOf = (pipeline: Pipeline, subject: string, m: number, statistic = 'psi') =>
  pipeline
    .rows('drift')
    .find(
      row =>
        row.subject === subject &&
        row.segment === '' &&
        row.statistic === statistic &&
        row.window_start === t0 + m * minute &&
        row.window_end === t0 + (m + 1) * minute,
    )

const nOf = (pipeline: Pipeline, at: number) =>
  pipeline
    .rows('histograms')
    .find(
      row =>
        row.subject === 'feature:position' &&
        row.segment === '' &&
        row.window_start === at &&
        row.window_end === at + minute &&
        row.edges_id === 'positions',
    )?.n

const flags = { 'drift.reference.windows': '3', 'drift.minRows': '30' }

describe('bad input', () => {
  it('an event an hour behind corrects its own window; one an hour ahead closes those up to it, which late rows correct', () => {
    const pipeline = new Pipeline(1, 1, flags)
    const given = (u: number) => ({ position: u % 5, score: u / users })
    quiet(pipeline, 0, 70, given)
    pipeline.send(impression('behind', t0 + 5 * minute, given(1)))
    quiet(pipeline, 70, 1, given)
    pipeline.pass(20_000)
    expect(nOf(pipeline, t0 + 5 * minute)).toBe(users + 1)
    // more than the clamp of the sessions stage lets through: 5 minutes
    pipeline.send(impression('ahead', t0 + 71 * minute + hour, given(1)))
    quiet(pipeline, 71, 5, given)
    pipeline.pass(20_000)
    // the window of the clock that is ahead holds that row alone, and takes the others when their time comes
    for (let m = 71; m < 76; m++) expect(nOf(pipeline, t0 + m * minute)).toBe(users)
    expect(nOf(pipeline, t0 + 71 * minute + hour)).toBeUndefined()
    quiet(pipeline, 76, 60, given)
    pipeline.pass(20_000)
    quiet(pipeline, 136, 3, given)
    expect(nOf(pipeline, t0 + 71 * minute + hour)).toBe(users + 1)
    expectNoNaN(pipeline)
    expect(pipeline.alerts).toEqual([])
  })

  it('categories that are all new: the rate of new ones is 1, PSI is large and finite, an alert rises', () => {
    const pipeline = new Pipeline(1, 1, flags)
    quiet(pipeline, 0, 8, u => ({ device: `old${u % 3}` }))
    quiet(pipeline, 8, 4, u => ({ device: `new${u}` }))
    pipeline.drain(t0 + 20 * minute)
    expect(psiOf(pipeline, 'feature:context.device', 6, 'new_category_rate')?.value).toBe(0)
    expect(psiOf(pipeline, 'feature:context.device', 9, 'new_category_rate')?.value).toBe(1)
    const psi = psiOf(pipeline, 'feature:context.device', 9)
    expect(Number(psi?.value)).toBeGreaterThan(1)
    expect(psi?.alert).toBe(true)
    expect(
      pipeline.alerts.some(
        each => each.subject === 'feature:context.device' && each.until === null,
      ),
    ).toBe(true)
    expectNoNaN(pipeline)
  })

  it('a reference of 3 rows has too few of them: null with that reason by default, figures without a threshold if it is asked for', () => {
    const shards = Array.from({ length: 16 }, (_, shard) =>
      Array.from({ length: 22 }, (_, bin) => (shard === 0 && bin < 3 ? 1 : 0)),
    )
    const series = { subject: 'feature:position', segment: '', size: 0 }
    const time = { setAt: 5, from: 0, to: 1, windows: 1, missing: 0 }
    const rowsWith = (minRows: string) => {
      const pipeline = new Pipeline(1, 1, { ...flags, 'drift.minRows': minRows })
      pipeline.book.take('few', { ...series, ...time, name: 'few', categories: null, shards })
      quiet(pipeline, 0, 6, u => ({ position: u % 5 }))
      expectNoNaN(pipeline)
      expect(pipeline.alerts).toEqual([])
      return psiOf(pipeline, 'feature:position', 3)
    }
    expect(rowsWith('30')).toMatchObject({
      value: null,
      threshold: null,
      alert: false,
      reference: 'few',
      n_reference: 3,
      reason: 'the reference has 3 rows, 30 are needed',
    })
    const told = rowsWith('1')
    expect(told?.value).toBeGreaterThan(0)
    expect(told).toMatchObject({ threshold: null, alert: false })
    expect(told?.reason).toMatch(/no threshold/)
  })

  it('infinite and NaN scores are missing values, and huge ones fall into the outermost bins', () => {
    const pipeline = new Pipeline(1, 1, flags)
    const odd = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]
    quiet(pipeline, 0, 8, u => ({ score: u % 4 === 3 ? 0.5 : odd[u % 4] }))
    quiet(pipeline, 8, 1, u => ({ score: u % 2 ? 1e308 : -1e308 }))
    quiet(pipeline, 9, 1, u => ({ score: odd[u % 3] }))
    pipeline.drain(t0 + 20 * minute)
    const row = (m: number) =>
      pipeline
        .rows('histograms')
        .find(
          each =>
            each.subject === 'prediction:ranker' &&
            each.segment === '' &&
            each.window_start === t0 + m * minute &&
            each.window_end === t0 + (m + 1) * minute &&
            each.edges_id === 'signed-decades',
        )
    expect(row(3)).toMatchObject({ n: users / 4, missing: (users * 3) / 4 })
    const counts = row(8)?.counts as number[]
    expect([counts[0], counts.at(-1)]).toEqual([users / 2, users / 2])
    expect(row(9)).toMatchObject({ n: 0, missing: users })
    expect(psiOf(pipeline, 'prediction:ranker', 9, 'missing_rate')?.value).toBe(1)
    expectNoNaN(pipeline)
  })

  it('values are never NaN: constants, empty windows, tiny references are null with a reason', () => {
    const pipeline = new Pipeline(1, 1, { 'drift.reference.windows': '1', 'drift.minRows': '1' })
    for (let m = 0; m < 20; m++) {
      const users = m === 7 ? 0 : m % 5 === 0 ? 1 : 40
      for (let u = 0; u < users; u++)
        pipeline.send(
          impression(`u${u}`, t0 + m * minute + u, {
            position: 0,
            score: m === 3 ? Number.NaN : m % 4 === 1 ? null : 0.5,
            device: m > 10 ? `new${u}` : undefined,
          }),
        )
      pipeline.now += minute
      pipeline.commitAll()
    }
    pipeline.drain(t0 + 60 * minute)
    const rows = pipeline.rows('drift')
    expect(rows.length).toBeGreaterThan(100)
    for (const row of rows) {
      if (row.value === null) expect(row.reason).not.toBe('')
      else expect(Number.isFinite(row.value)).toBe(true)
    }
    const position = rows.filter(
      row => row.subject === 'feature:position' && row.statistic === 'psi',
    )
    expect(position.some(row => row.value !== null && Number(row.value) < 0.01)).toBe(true)
  })
})
