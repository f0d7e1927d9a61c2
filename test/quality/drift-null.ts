/**
 * Quiet and shifted windows of several subjects, judged as the statistic task judges them: figures against a reference, each
 * subject's level shared out of `drift.alpha`. Rows come in users' bunches, as alike as asked; some subjects depend on others.
 */
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { type Figure, figures, isOver } from '../../topologies/drift/figures.ts'
import { Histogram } from '../../topologies/drift/histogram.ts'
import { collect, newReference, type ReferenceRow } from '../../topologies/drift/reference.ts'
import { levelOfEach } from '../../topologies/drift/statistics/threshold.ts'
import { shardCount } from '../../topologies/drift/subjects.ts'

interface Subject {
  readonly name: string
  /** Cumulative shares of the fine bins, or of the categories. */
  readonly upTo: readonly number[]
  readonly isNamed: boolean
  /** The place of a user's rows, from that user's independent draws. */
  readonly place: (draws: readonly number[]) => number
}

const bell = Array.from({ length: 20 }, (_, i) => Math.exp(-((i - 8) ** 2) / 30))
const even = Array.from({ length: 20 }, () => 1)
const falling = Array.from({ length: 20 }, (_, i) => 0.8 ** i)

function subject(
  name: string,
  weights: readonly number[],
  place: Subject['place'],
  isNamed = false,
): Subject {
  const sum = weights.reduce((a, b) => a + b)
  let held = 0
  const upTo = weights.map(weight => {
    held += weight / sum
    return held
  })
  return { name, upTo: [...upTo.slice(0, -1), 1], isNamed, place }
}

export const subjects: readonly Subject[] = [
  subject('even', even, draws => draws[0]),
  subject('bell', bell, draws => draws[1]),
  subject('falling, as the first', falling, draws => draws[0]),
  subject('label, as the second', [7, 3], draws => 1 - draws[1]),
  subject('few categories', [5, 3, 2], draws => draws[2], true),
  subject('many categories', [...falling, ...falling], draws => draws[3], true),
  subject('another', bell, draws => (draws[0] + draws[4]) % 1),
]

export interface Setting {
  /** Rows of a window, and of a reference. */
  readonly n: number
  readonly reference: number
  readonly perUser: number
  /** Probability that a row is the user's usual one. 1: all rows of a user are the same. */
  readonly alike: number
  readonly windows: number
  /** Windows that are compared with one reference. */
  readonly each: number
  readonly alpha: number
}

const limitsAt = (alpha: number) => ({
  alpha: levelOfEach(alpha, subjects.length),
  minRows: 100,
  wantedWindows: 1,
})

function binAt(upTo: readonly number[], u: number): number {
  let low = 0
  let high = upTo.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (upTo[middle] <= u) low = middle + 1
    else high = middle
  }
  return low
}

/** `moved`: where the first subject's rows go. */
function rows(
  random: () => number,
  n: number,
  { perUser, alike }: Pick<Setting, 'perUser' | 'alike'>,
  moved: (u: number) => number = u => u,
): Histogram[] {
  const histograms = subjects.map(({ upTo, isNamed }) => {
    const made = isNamed ? Histogram.categories() : Histogram.numbers(upTo.length)
    if (isNamed) for (let i = 0; i < upTo.length; i++) made.binOfName(`c${i}`)
    return made
  })
  const counts = subjects.map(({ upTo }) => new Int32Array(upTo.length * shardCount))
  for (let user = 0; user < n / perUser; user++) {
    const shard = Math.floor(random() * shardCount)
    const draws = [random(), random(), random(), random(), random()]
    const places = subjects.map(each => each.place(draws))
    for (let row = 0; row < perUser; row++)
      for (let s = 0; s < subjects.length; s++) {
        const u = random() < alike ? places[s] : random()
        counts[s][binAt(subjects[s].upTo, s === 0 ? moved(u) : u) * shardCount + shard]++
      }
  }
  counts.forEach((slots, s) => {
    slots.forEach((count, slot) => {
      if (count > 0) histograms[s].addAt(slot, count)
    })
  })
  return histograms
}

function references(random: () => number, setting: Setting): ReferenceRow[] {
  return rows(random, setting.reference, setting).map((histogram, s) => {
    const { name, upTo, isNamed } = subjects[s]
    const empty = isNamed ? Histogram.categories() : Histogram.numbers(upTo.length)
    const made = newReference(name, '', 0, empty)
    collect(made, 0, histogram, 1)
    return made
  })
}

function psiOf(reference: ReferenceRow, window: Histogram, alpha: number): Figure {
  const edges = window.names ? null : Float64Array.from({ length: window.bins - 1 }, (_, i) => i)
  return figures(reference, window, edges, limitsAt(alpha))[0]
}

/** Share of quiet windows in which any subject's PSI is over its threshold, and each subject's own. */
export function falseAlarms(setting: Setting): { any: number; each: number[] } {
  const random = randomFrom(hash53(JSON.stringify(setting)))
  const fired = new Array<number>(subjects.length).fill(0)
  let any = 0
  let judged: ReferenceRow[] = []
  for (let w = 0; w < setting.windows; w++) {
    if (w % setting.each === 0) judged = references(random, setting)
    const over = rows(random, setting.n, setting).map((window, s) =>
      isOver(psiOf(judged[s], window, setting.alpha)),
    )
    if (over.includes(true)) any++
    over.forEach((is, s) => {
      if (is) fired[s]++
    })
  }
  return { any: any / setting.windows, each: fired.map(count => count / setting.windows) }
}

/**
 * The u^x that moves the first subject by a PSI of `psi`: its rows are even, so the share below t goes from t to t^(1/x),
 * and the PSI in tenths is summed.
 */
function shiftOf(psi: number): (u: number) => number {
  const psiAt = (power: number): number =>
    Array.from({ length: 10 }, (_, i) => {
      const share = ((i + 1) / 10) ** (1 / power) - (i / 10) ** (1 / power)
      return (share - 0.1) * Math.log(share / 0.1)
    }).reduce((a, b) => a + b)
  let [low, high] = [1, 8]
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2
    if (psiAt(middle) < psi) low = middle
    else high = middle
  }
  return u => u ** low
}

/** Share of trials in which a shift is found within three windows: `once`, by one of them; `alert`, by two in a row. */
export function found(
  setting: Omit<Setting, 'windows' | 'each'>,
  psi: number,
  trials: number,
): { once: number; alert: number } {
  const random = randomFrom(hash53(JSON.stringify({ ...setting, psi })))
  const moved = shiftOf(psi)
  let [once, alert] = [0, 0]
  let judged: ReferenceRow[] = []
  for (let trial = 0; trial < trials; trial++) {
    if (trial % 20 === 0) judged = references(random, { ...setting, windows: 0, each: 0 })
    const over = [0, 1, 2].map(() =>
      isOver(psiOf(judged[0], rows(random, setting.n, setting, moved)[0], setting.alpha)),
    )
    if (over.includes(true)) once++
    if (over[1] && (over[0] || over[2])) alert++
  }
  return { once: once / trials, alert: alert / trials }
}
