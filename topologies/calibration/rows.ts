/** Rows of the table `calibration`: the bins of a window by model and segment, with the figures of the window in each. */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { BottomK } from '../drift/bottom-k.ts'
import type { Dims } from '../ledger/dims.ts'
import type { Slot } from '../ledger/slots.ts'
import { binCount, closedForms, reliability } from './reliability.ts'
import { type Reading, ScoreSums, sigmoid } from './sums.ts'

export type ScoresOption = 'auto' | Reading

/** Segments of a model in a window at most, and models: those with most scores first. A row for each of ten bins. */
const mostSegments = 64
const mostModels = 16

const segmentsOf = ({ policy, surface, cohort }: Dims): string[] => [
  '',
  `policy=${policy}`,
  `surface=${surface}`,
  `cohort=${cohort}`,
]

interface Segment {
  readonly sums: ScoreSums
  readonly scores: number[]
  readonly labels: number[]
}

/** Of a window and what is held within it (`within`). `baseOf`: the dims of a number that a sample's row names. */
export function calibrationRows(
  slot: Slot,
  within: readonly Slot[],
  option: ScoresOption,
  baseOf: (number: number) => Dims | undefined,
  revision: number,
): TableRow[] {
  const models = new Map<string, Map<string, Segment>>()
  const segmentOf = (model: string, name: string): Segment => {
    let segments = models.get(model)
    if (!segments) {
      segments = new Map()
      models.set(model, segments)
    }
    let segment = segments.get(name)
    if (!segment) {
      segment = { sums: new ScoreSums(), scores: [], labels: [] }
      segments.set(name, segment)
    }
    return segment
  }
  for (const cell of within.flatMap(each => [...each.cells.values()])) {
    const sums = cell.read(() => undefined)
    if (!sums) continue
    for (const name of segmentsOf(cell.base)) segmentOf(cell.base.model, name).sums.merge(sums)
  }
  for (const [model, rows] of samplesOf(within))
    rows.forEach((_hash, score, told) => {
      const dims = baseOf(Math.floor(told / 2))
      for (const name of dims ? segmentsOf(dims) : ['']) {
        const segment = segmentOf(model, name)
        segment.scores.push(score)
        segment.labels.push(told % 2)
      }
    })
  const list: TableRow[] = []
  const scored = (segments: Map<string, Segment>): number => segments.get('')?.sums.n ?? 0
  const kept = [...models]
    .sort(([a, x], [b, y]) => scored(y) - scored(x) || (a < b ? -1 : 1))
    .slice(0, mostModels)
  for (const [model, segments] of kept) {
    const reading = readingOf(option, segments.get('')?.sums)
    for (const [name, segment] of [...segments]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, mostSegments))
      list.push(...rowsOf(slot, model, name, segment, reading, revision))
  }
  return list
}

function samplesOf(within: readonly Slot[]): Map<string, BottomK> {
  const merged = new Map<string, BottomK>()
  for (const { model, rows } of within.flatMap(each => [...each.samples.values()])) {
    if (within.length === 1) merged.set(model, rows)
    else {
      const into = merged.get(model) ?? new BottomK(rows.limit, 2)
      into.merge(rows)
      merged.set(model, into)
    }
  }
  return merged
}

/** One reading for all segments of a model, since it is one model. */
function readingOf(option: ScoresOption, all: ScoreSums | undefined): Reading {
  if (option !== 'auto') return option
  return all !== undefined && all.unitN === all.n ? 'probability' : 'logit'
}

function rowsOf(
  slot: Slot,
  model: string,
  segment: string,
  { sums, scores, labels }: Segment,
  reading: Reading,
  revision: number,
): TableRow[] {
  const totals = sums.totals(reading)
  const unusable = sums.bad + sums.n - totals.n
  if (totals.n === 0 && unusable === 0) return []
  const usable = [...scores.keys()].filter(
    k => reading === 'logit' || (scores[k] >= 0 && scores[k] <= 1),
  )
  const found = reliability(
    Float64Array.from(usable, k => (reading === 'logit' ? sigmoid(scores[k]) : scores[k])),
    Float64Array.from(usable, k => labels[k]),
  )
  const forms = closedForms(totals)
  const of = {
    window_start: slot.start,
    window_end: slot.end,
    model,
    segment,
    ece: found.ece,
    normalised_entropy: forms.normalisedEntropy,
    expected_observed: forms.expectedObserved,
    log_loss: forms.logLoss,
    brier: forms.brier,
    brier_reliability: found.reliability,
    brier_resolution: found.resolution,
    brier_uncertainty: forms.uncertainty,
    base_rate: forms.baseRate,
    scores: reading,
    n_window: totals.n,
    n_sample: found.n,
    unusable,
    reason: forms.reason,
    revision,
  }
  // a window without a bin (no usable score) still says so; a bin that a newer revision does not have is emptied by it
  return Array.from({ length: binCount }, (_, bin) => {
    const filled = found.bins[bin]
    return {
      ...of,
      bin,
      mean_prediction: filled?.meanPrediction ?? null,
      mean_label: filled?.meanLabel ?? null,
      n: filled?.n ?? 0,
    }
  })
}
