import { describe, expect, it } from 'vitest'
import { hash53, randomFrom } from '../../../streams/serde/hash.ts'
import { impression, minute, Pipeline, t0, watch } from '../../../test/support/drift-pipeline.ts'
import { Histogram } from '../histogram.ts'
import { Adwin } from './adwin.ts'
import { Ddm } from './ddm.ts'
import { PageHinkley } from './page-hinkley.ts'
import { binMiddles, StreamDetectors } from './streams.ts'

const subjects = ['feature:watched_ratio', 'prediction:ranker', 'label:positive']
const flags = { 'drift.profiles': 'river', 'drift.minRows': '20' }

/** Minutes of plays and scores; minute 20 has few. */
function run(partitions: number, restarts: boolean, more: Record<string, string> = {}): Pipeline {
  const pipeline = new Pipeline(partitions, 2, { ...flags, ...more })
  const random = randomFrom(hash53('detectors'))
  for (let m = 0; m < 72; m++) {
    for (let u = 0; u < (m === 20 ? 5 : 30); u++) {
      const watchedMs = Math.floor((m < 40 ? 0.2 : 0.8) * 100_000 + random() * 20_000)
      const at = t0 + m * minute + Math.floor(random() * minute)
      const positive = random() < (m < 40 ? 0.8 : 0.3)
      pipeline.send(watch(`u${u}`, at, { playId: `${m}-${u}`, watchedMs, positive }))
      pipeline.send(impression(`u${u}`, at, { score: random() * 4 - 1 }))
    }
    pipeline.now += minute
    pipeline.commitAll()
    if (restarts && m % 7 === 3)
      for (const task of [...pipeline.users, ...pipeline.statistics]) task.restart()
  }
  pipeline.drain(t0 + 90 * minute)
  return pipeline
}

const river = (pipeline: Pipeline) =>
  pipeline
    .rows('drift')
    .filter(row => row.profile === 'river')
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))

describe("river's detectors over closed minutes", () => {
  it('say the same whatever the partitions and restarts (R3)', () => {
    const rows = river(run(1, false))
    expect(rows.length).toBeGreaterThan(71 * 6)
    expect(river(run(3, true))).toEqual(rows)
    expect(rows.some(row => row.alert)).toBe(true)
  })

  it('equal detectors that are fed from the histograms written', () => {
    const pipeline = run(2, false)
    const written = river(pipeline)
    for (const subject of subjects) {
      const windows = pipeline
        .rows('histograms')
        .filter(row => row.subject === subject && row.segment === '' && row.revision === 1)
        .filter(row => !/@|^reference:/.test(String(row.edges_id)))
        .filter(row => Number(row.window_end) - Number(row.window_start) === minute)
        .sort((a, b) => Number(a.window_start) - Number(b.window_start))
      expect(windows.length).toBeGreaterThan(70)
      const adwin = new Adwin()
      const pageHinkley = new PageHinkley()
      const ddm = new Ddm()
      for (const window of windows) {
        const counts = window.counts as number[]
        const n = Number(window.n)
        if (n === 0) continue
        const edges = [Number.NaN, ...(window.edges as number[]), Number.NaN]
        // by the words of docs/drift.md
        const sum = counts.reduce((before, count, bin) => {
          let [low, high] = [edges[bin], edges[bin + 1]]
          if (Number.isNaN(low)) low = edges.length === 3 ? -0.5 : high - (edges[2] - edges[1])
          if (Number.isNaN(high))
            high = edges.length === 3 ? 1.5 : low + (low - (edges.at(-3) as number))
          return before + (count * (low + high)) / 2
        }, 0)
        const told = (statistic: string) =>
          written.find(
            row =>
              row.subject === subject &&
              row.statistic === statistic &&
              row.window_start === window.window_start,
          )
        const base = { segment: '', threshold: null, reference: '', n_current: n, n_reference: 0 }
        if (n < 20)
          for (const statistic of ['adwin', 'page_hinkley'])
            expect(told(statistic)).toMatchObject({
              ...base,
              value: null,
              alert: false,
              reason: 'the window has fewer than 20 rows',
            })
        else {
          let alert = adwin.update(sum / n)
          expect(told('adwin')).toMatchObject({ ...base, alert, reason: '' })
          expect(told('adwin')?.value).toBeCloseTo(adwin.mean, 9)
          alert = pageHinkley.update(sum / n)
          expect(told('page_hinkley')).toMatchObject({ ...base, alert, reason: '' })
          expect(told('page_hinkley')?.value).toBeCloseTo(pageHinkley.mean, 9)
        }
        if (subject !== 'label:positive') {
          expect(told('ddm')).toBeUndefined()
          continue
        }
        let alert = false
        for (let k = 0; k < n; k++) {
          const isError = Math.floor(((k + 1) * counts[0]) / n) - Math.floor((k * counts[0]) / n)
          alert = ddm.update(isError === 1) || alert
        }
        expect(told('ddm')).toMatchObject({ ...base, alert, reason: '' })
        expect(told('ddm')?.value).toBeCloseTo(ddm.rate, 12)
      }
    }
  })

  it('see each window once and in order (R1), bound what labels cost, and only where named', () => {
    const detectors = new StreamDetectors(10)
    const window = (m: number) => ({
      subject: 'label:positive',
      segment: '',
      size: 0,
      start: t0 + m * minute,
    })
    const counted = (wrong: number, right: number) => {
      const histogram = Histogram.numbers(2)
      histogram.add(0, 0, wrong)
      histogram.add(1, 0, right)
      return histogram
    }
    const rate = (rows: Record<string, unknown>[]) =>
      rows.find(row => row.statistic === 'ddm')?.value
    // three million labels: fed as ten thousand of which a tenth are wrong
    expect(rate(detectors.closed(window(5), counted(300_000, 2_700_000)))).toBeCloseTo(0.1, 9)
    expect(detectors.closed(window(4), counted(1, 99))).toEqual([])
    expect(detectors.closed(window(5), counted(1, 99))).toEqual([])
    expect(detectors.closed({ ...window(6), segment: 'surface=home' }, counted(1, 9))).toEqual([])
    expect(detectors.closed({ ...window(6), size: 1 }, counted(1, 9))).toEqual([])
    expect(rate(detectors.closed(window(6), counted(10_000, 0)))).toBeGreaterThan(0.1)
    expect(river(run(1, false, { 'drift.profiles': 'freshet' }))).toEqual([])
  })

  it('take bins at their middles, labels exactly', () => {
    expect([...binMiddles([0.5])]).toEqual([0, 1])
    expect([...binMiddles([1, 2, 4])]).toEqual([0.5, 1.5, 3, 5])
  })
})
