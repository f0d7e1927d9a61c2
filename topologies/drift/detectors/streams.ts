/**
 * River's detectors over the stream of closed one-minute windows of the whole, for some subjects (profile `river`): ADWIN and
 * Page-Hinkley take the mean of each window, DDM the labels themselves.
 *
 *  - R1 A detector sees windows in order of time, each once, as it stood when it closed. One that closes after a later one,
 *       and what corrects a closed one, is not seen.
 *  - R2 What it sees is a function of the window's counts alone, so the same whatever the partitions and the order of rows:
 *       of numbers the mean with each bin at its middle, of labels as many 0 and 1 as were counted, spread evenly.
 *  - R3 All state is exact: a restart anywhere gives the rows that would have been.
 */
import type { ByteReader } from '../../../streams/serde/bytes.ts'
import type { TableRow } from '../../../streams/topology/outbox.ts'
import { type Row, Store } from '../../../streams/topology/store.ts'
import type { Histogram } from '../histogram.ts'
import type { WindowId } from '../rows.ts'
import { numberSubject, sizes } from '../subjects.ts'
import { Adwin } from './adwin.ts'
import { Ddm } from './ddm.ts'
import { PageHinkley } from './page-hinkley.ts'

/** Store number in the task kind `statistics`. On the log for ever. */
const storeId = 48

const labels = 'label:positive'
const watched: readonly string[] = ['feature:watched_ratio', 'prediction:ranker', labels]
/** Labels of a window that DDM is fed, a fraction of a millisecond; of more, so many of their share. */
const maxLabels = 10_000

interface Detectors extends Row {
  readonly subject: string
  /** Start of the last window that was seen, ms. */
  last: number
  adwin: Adwin
  pageHinkley: PageHinkley
  ddm: Ddm
}

interface Verdict {
  readonly statistic: string
  readonly value: number | null
  readonly alert: boolean
  readonly reason: string
}

/** The middle of each bin; the open outer bins count as wide as their neighbours, and those of a single edge as 1. */
export function binMiddles(edges: ArrayLike<number>): Float64Array {
  const last = edges.length - 1
  const first = last > 0 ? edges[1] - edges[0] : 1
  const end = last > 0 ? edges[last] - edges[last - 1] : 1
  return Float64Array.from({ length: last + 2 }, (_, bin) => {
    if (bin === 0) return edges[0] - first / 2
    return bin > last ? edges[last] + end / 2 : (edges[bin - 1] + edges[bin]) / 2
  })
}

export class StreamDetectors {
  readonly store: Store<Detectors>
  private readonly bySubject = new Map<string, Detectors>()
  private readonly middles = new Map<string, Float64Array>()
  private readonly minRows: number

  /** `minRows`: rows of a window whose mean is worth looking at. */
  constructor(minRows: number) {
    this.minRows = minRows
    this.store = new Store<Detectors>({
      id: storeId,
      name: 'drift-detectors',
      write: 'exact',
      writeKey: (row, w) => w.string(row.subject),
      writeValue(row, w) {
        w.uint(row.last)
        for (const detector of [row.adwin, row.pageHinkley, row.ddm]) detector.write(w)
      },
      restore: (key, value) => this.restore(key.string(), value),
    })
  }

  /** A window is closed for the first time: the detectors' rows, none for windows that no detector looks at. */
  closed(window: WindowId, histogram: Histogram): TableRow[] {
    const { subject, segment, size, start } = window
    if (segment !== '' || size !== 0 || !watched.includes(subject)) return []
    const known = this.of(subject)
    const n = histogram.n
    if (n === 0 || start <= known.last) return []
    known.last = start
    this.store.touch(known)
    const counts = histogram.totals()
    const verdicts = this.ofMean(known, this.meanOf(subject, counts, n), n)
    if (subject === labels) verdicts.push(ofLabels(known.ddm, counts[0], n))
    return verdicts.map(verdict => ({
      subject,
      segment,
      window_start: start,
      window_end: start + sizes[size].ms,
      profile: 'river',
      ...verdict,
      threshold: null,
      reference: '',
      n_reference: 0,
      n_current: n,
      revision: 1,
    }))
  }

  private ofMean({ adwin, pageHinkley }: Detectors, mean: number, n: number): Verdict[] {
    if (n < this.minRows) {
      const reason = `the window has fewer than ${this.minRows} rows`
      return ['adwin', 'page_hinkley'].map(statistic => ({
        statistic,
        value: null,
        alert: false,
        reason,
      }))
    }
    const cut = adwin.update(mean)
    const changed = pageHinkley.update(mean)
    return [
      { statistic: 'adwin', value: adwin.mean, alert: cut, reason: '' },
      { statistic: 'page_hinkley', value: pageHinkley.mean, alert: changed, reason: '' },
    ]
  }

  private meanOf(subject: string, counts: readonly number[], n: number): number {
    let middles = this.middles.get(subject)
    if (!middles) {
      middles = binMiddles(numberSubject(subject)?.edges ?? [])
      this.middles.set(subject, middles)
    }
    let sum = 0
    for (let bin = 0; bin < counts.length; bin++) sum += counts[bin] * middles[bin]
    return sum / n
  }

  private of(subject: string): Detectors {
    let known = this.bySubject.get(subject)
    if (!known) {
      known = {
        subject,
        last: 0,
        adwin: new Adwin(),
        pageHinkley: new PageHinkley(),
        ddm: new Ddm(),
        dirty: false,
        removed: false,
      }
      this.bySubject.set(subject, known)
    }
    return known
  }

  private restore(subject: string, value: ByteReader | null): void {
    this.bySubject.delete(subject)
    if (value === null) return
    const known = this.of(subject)
    known.last = value.uint()
    known.adwin = Adwin.read(value)
    known.pageHinkley = PageHinkley.read(value)
    known.ddm = Ddm.read(value)
  }
}

/** An error is a label that is not positive. */
function ofLabels(ddm: Ddm, errors: number, n: number): Verdict {
  const fed = Math.min(n, maxLabels)
  const wrong = Math.round((errors / n) * fed)
  let alert = false
  let before = 0
  for (let k = 1; k <= fed; k++) {
    const so = Math.floor((k * wrong) / fed)
    if (ddm.update(so > before)) alert = true
    before = so
  }
  return { statistic: 'ddm', value: ddm.rate, alert, reason: '' }
}
