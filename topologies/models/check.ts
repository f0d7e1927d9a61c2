/**
 * What a model must hold before it is pushed: it loads, takes features that there are, gives one finite score a row,
 * reproduces its golden batch, and is quick enough. Everything that does not hold is said at once where that is possible.
 */
import { createHash } from 'node:crypto'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { FeatureSet, Refusal } from './layout.ts'
import type { OpenSession } from './onnxruntime.ts'
import { type ModelRunner, openModel } from './runner.ts'

/** Rows in the model's own columns with the raw scores that its trainer saw. */
export interface Golden {
  /** Names of the columns; absent: the model's own. */
  readonly features?: readonly string[]
  readonly rows: readonly (readonly number[])[]
  readonly outputs: readonly number[]
}

export interface CheckSettings {
  readonly features: FeatureSet
  readonly open: OpenSession
  readonly maxBytes: number
  /** For 1,000 rows. */
  readonly budgetMs: number
  /** Of a clock that only measures. */
  readonly elapsedMs: () => number
  readonly golden?: Golden
}

export interface Verdict {
  readonly sha256: string
  readonly sizeBytes: number
  readonly refusals: readonly Refusal[]
  /** name@version of each column; empty where that was not found out. */
  readonly features: readonly string[]
  readonly producer: string
  /** NaN where it was not measured. */
  readonly msPer1000Rows: number
  readonly goldenRows: number
}

/** Relative to the larger of 1 and the score expected. */
const GOLDEN_TOLERANCE = 1e-5
const RANDOM_ROWS = 256
const TIMED_ROWS = 1000
const TIMED_RUNS = 4

export function checkModel(model: Uint8Array, settings: CheckSettings): Verdict {
  const { maxBytes, features } = settings
  const verdict = {
    sha256: createHash('sha256').update(model).digest('hex'),
    sizeBytes: model.length,
    features: [] as string[],
    producer: '',
    msPer1000Rows: Number.NaN,
    goldenRows: settings.golden?.rows.length ?? 0,
  }
  if (model.length > maxBytes)
    return {
      ...verdict,
      refusals: [
        {
          found: `the model has ${model.length} bytes`,
          expected: `at most ${maxBytes} (option models.maxBytes)`,
          mend: 'fewer trees or leaves, a smaller network, or quantize it; or allow more with --models.maxBytes',
        },
      ],
    }
  const opened = openModel(model, features, settings.open)
  if ('refusals' in opened) return { ...verdict, refusals: opened.refusals }
  const { runner, facts } = opened
  try {
    verdict.producer = facts.producer
    verdict.features = featuresOf(runner, features)
    const broken = finiteScores(runner, features)
    if (broken) return { ...verdict, refusals: [broken] }
    const { msPer1000Rows, refusal } = time(runner, settings)
    verdict.msPer1000Rows = msPer1000Rows
    const refusals = [refusal, settings.golden && golden(runner, settings.golden, verdict.features)]
    return { ...verdict, refusals: refusals.filter(found => found !== undefined) }
  } finally {
    runner.close()
  }
}

/** name@version of each of the model's columns. */
function featuresOf({ layout }: ModelRunner, { specs }: FeatureSet): string[] {
  return layout.columns.map(column => `${specs[column].name}@${specs[column].version}`)
}

interface Probe {
  readonly what: string
  readonly row: Float64Array
}

/** A forest adds up float32 shares of hundreds of trees, and ends a little above 1. */
const PROBABILITY_ROUNDING = 1e-5

/** Rows of the registry: its defaults, zeros, and random ones of sizes from .1 to 1,000, the same every time. */
export function probes({ specs }: FeatureSet, random: number = RANDOM_ROWS): Probe[] {
  const rows: Probe[] = [
    { what: 'the row of defaults', row: Float64Array.from(specs, spec => spec.default) },
    { what: 'the row of zeros', row: new Float64Array(specs.length) },
  ]
  const next = randomFrom(hash53('model probes', 1))
  for (let i = 0; i < random; i++) {
    const size = 10 ** ((i % 5) - 1)
    const row = Float64Array.from(specs, () => (2 * next() - 1) * size)
    rows.push({ what: `random row ${i + 1}, of values up to ${size}`, row })
  }
  return rows
}

function finiteScores(runner: ModelRunner, features: FeatureSet): Refusal | undefined {
  const rows = probes(features)
  const scores = new Float64Array(rows.length)
  const failed = runs(() => {
    runner.score(flat(rows, features), rows.length, 0, scores)
  })
  if (failed) return failed
  const bad = rows.findIndex((_, i) => !Number.isFinite(scores[i]))
  if (bad !== -1)
    return {
      found: `${rows[bad].what} gives ${scores[bad]}`,
      expected: 'a finite score for every finite row',
      mend: 'guard logarithms, divisions and roots in the model; impute what is missing with the default (`freshet features list`), no feature is ever NaN',
    }
  if (!runner.layout.isProbability) return undefined
  const off = PROBABILITY_ROUNDING
  const beyond = rows.findIndex((_, i) => scores[i] < -off || scores[i] > 1 + off)
  if (beyond === -1) return undefined
  return {
    found: `${rows[beyond].what} gives the probability ${scores[beyond]}`,
    expected: 'probabilities from 0 to 1 in the second of two columns',
    mend: "export predict_proba and not raw scores (onnxmltools and skl2onnx: no option 'raw_scores'), or write freshet.output=logit into the metadata",
  }
}

function flat(rows: readonly Probe[], { specs }: FeatureSet): Float64Array {
  const matrix = new Float64Array(rows.length * specs.length)
  for (const [i, { row }] of rows.entries()) matrix.set(row, i * specs.length)
  return matrix
}

function runs(work: () => void): Refusal | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    return {
      found: `it does not run: ${said.split('\n')[0].slice(0, 300)}`,
      expected: 'a score a row for any number of rows',
      mend: 'try it with onnxruntime on a few rows; often a dimension was fixed when it was exported',
    }
  }
}

function golden(
  runner: ModelRunner,
  { features, rows, outputs }: Golden,
  own: readonly string[],
): Refusal | undefined {
  const names = own.map(name => name.slice(0, name.lastIndexOf('@')))
  const mend =
    'write it from the model that is pushed: {"rows": [[...]], "outputs": [...]}, rows as float32'
  if (features && features.join() !== names.join())
    return {
      found: `the golden batch has the columns ${features.join(', ')}`,
      expected: `those of the model: ${names.join(', ')}`,
      mend,
    }
  const odd = rows.findIndex(row => row.length !== names.length)
  if (rows.length === 0 || rows.length !== outputs.length || odd !== -1)
    return {
      found:
        odd === -1
          ? `the golden batch has ${rows.length} rows and ${outputs.length} outputs`
          : `row ${odd + 1} of the golden batch has ${rows[odd].length} values`,
      expected: `as many outputs as rows, at least one, and ${names.length} values a row`,
      mend,
    }
  const scores = new Float64Array(rows.length)
  runner.scoreRows(rows, 0, scores)
  let worst = 0
  let row = -1
  for (const [i, expected] of outputs.entries()) {
    const off = Math.abs(scores[i] - expected) / Math.max(1, Math.abs(expected))
    // also where it is NaN
    if (!(off <= Math.max(worst, GOLDEN_TOLERANCE))) {
      worst = off
      row = i
    }
  }
  if (row === -1) return undefined
  return {
    found: `row ${row + 1} of the golden batch gives ${scores[row]}, it says ${outputs[row]}`,
    expected: `each within ${GOLDEN_TOLERANCE}`,
    mend: 'is it of this very model, with the columns in the same order, before the logarithm? A tree split between float64 and float32 differs: make the batch of float32 values',
  }
}

/** The best of a few runs; slow ones are told from few rows, so that none has to end that would take minutes. */
function time(
  runner: ModelRunner,
  { features, budgetMs, elapsedMs }: CheckSettings,
): { readonly msPer1000Rows: number; readonly refusal?: Refusal } {
  const rows = probes(features, TIMED_ROWS - 2)
  const matrix = flat(rows, features)
  const scores = new Float64Array(TIMED_ROWS)
  let best = Number.POSITIVE_INFINITY
  let measured = 0
  for (const n of [10, 100, TIMED_ROWS]) {
    best = Number.POSITIVE_INFINITY
    measured = n
    for (let i = 0; i < TIMED_RUNS; i++) {
      const start = elapsedMs()
      runner.score(matrix, n, 0, scores)
      best = Math.min(best, ((elapsedMs() - start) / n) * 1000)
    }
    // a few rows say little of a quick model and enough of one that is far too slow
    if (best > 50 * budgetMs) break
  }
  if (best <= budgetMs) return { msPer1000Rows: best }
  return {
    msPer1000Rows: best,
    refusal: {
      found: `1,000 rows take ${best.toPrecision(3)} ms on this machine${measured < TIMED_ROWS ? ` (reckoned from ${measured})` : ''}`,
      expected: `at most ${budgetMs} ms (option models.budgetMs)`,
      mend: 'fewer trees or leaves, a smaller network, or quantize it; or allow more with --models.budgetMs: a list of 110 candidates waits for a ninth of that',
    },
  }
}
