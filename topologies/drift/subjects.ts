/**
 * What is watched, and the fine bins it is counted in. The edges are declared here and never change under their id: counts
 * of all partitions and windows then add up. Bin i is [edges[i-1], edges[i]), the outermost bins are open.
 */
import { featureNames } from '../blend/features.ts'

export const shardCount = 16

export interface NumberSubject {
  readonly name: string
  readonly edgesId: string
  readonly edges: Float64Array
  /** Multiplies `drift.reference.warmUp`: a stream's first sessions that end are the short ones. */
  readonly warmUps?: number
  /** Why figures have no threshold, and so raise no alert; absent: they have. */
  readonly noThreshold?: string
}

const ratio = Float64Array.from({ length: 19 }, (_, i) => (i + 1) / 20)
/** Half octaves from half a second to 4.6 hours. */
const milliseconds = Float64Array.from({ length: 31 }, (_, k) => Math.round(500 * 2 ** (k / 2)))
const positions = Float64Array.of(
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  9,
  10,
  12,
  15,
  20,
  25,
  30,
  40,
  50,
  75,
  100,
  150,
  200,
)
/** Six steps a decade on both sides of 0: probabilities, logits and counts alike. */
const magnitudes = [0.001, 0.01, 0.1, 1, 10].flatMap(decade =>
  [1, 1.5, 2, 3, 5, 7].map(step => step * decade),
)
const signed = Float64Array.from([...magnitudes.map(x => -x).reverse(), 0, ...magnitudes])
const half = Float64Array.of(0.5)
/** Half octaves around a second, which lists are promised within, from 1 ms to 2.3 hours. */
const latencies = Float64Array.from({ length: 46 }, (_, k) =>
  k === 0 ? 1 : Math.round(1000 * 2 ** ((k - 19) / 2)),
)

/** The number of a subject is its place here; it does not go on the log. */
export const numberSubjects: readonly NumberSubject[] = [
  { name: 'feature:watched_ratio', edgesId: 'ratio-20', edges: ratio },
  { name: 'feature:watched_ms', edgesId: 'ms-half-octaves', edges: milliseconds },
  { name: 'feature:position', edgesId: 'positions', edges: positions },
  {
    name: 'feature:session_length',
    edgesId: 'ms-half-octaves',
    edges: milliseconds,
    warmUps: 6,
  },
  { name: 'prediction:ranker', edgesId: 'signed-decades', edges: signed },
  { name: 'label:positive', edgesId: 'half', edges: half },
  {
    name: 'latency:topk',
    edgesId: 'latency-half-octaves',
    edges: latencies,
    noThreshold: "what slows one user's list slows all: no threshold by user shards",
  },
]

export const subject = {
  watchedRatio: 0,
  watchedMs: 1,
  position: 2,
  sessionLength: 3,
  prediction: 4,
  positive: 5,
  latency: 6,
} as const

/** What lists are ranked by, in the registry's order; counted where `drift.features` names them. */
export const featureSubjects: readonly NumberSubject[] = featureNames.map(name => ({
  name: `feature:${name}`,
  edgesId: 'signed-decades',
  edges: signed,
}))

export const contextSubject = (key: string): string => `feature:context.${key}`

const byName = new Map([...numberSubjects, ...featureSubjects].map(each => [each.name, each]))

/** The bins of a number subject; undefined for categories. */
export function numberSubject(name: string): NumberSubject | undefined {
  return byName.get(name)
}

/** The bin of a value: the number of edges at or below it. */
export function binOf(edges: Float64Array, value: number): number {
  let low = 0
  let high = edges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (edges[middle] <= value) low = middle + 1
    else high = middle
  }
  return low
}

/** Window sizes. A delta says which it is for. */
export const sizes = [
  { name: '1m', ms: 60_000 },
  { name: '1h', ms: 3_600_000 },
  { name: '1d', ms: 86_400_000 },
] as const

/** Keys of the contract's option, trimmed, each once. */
export function contextKeys(text: string): string[] {
  return [...new Set(text.split(',').map(key => key.trim()))].filter(key => key !== '')
}
