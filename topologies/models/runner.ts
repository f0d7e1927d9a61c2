/** A loaded model that is fed from the feature matrix. One run a list: its candidates are the batch. Buffers are reused. */
import { BUCKET_INPUT, type FeatureSet, type Layout, layoutOf, type Refusal } from './layout.ts'
import { type OnnxFacts, readFacts } from './onnx-format.ts'
import type { ModelSession, OpenSession } from './onnxruntime.ts'

/** Below this a probability says nothing more; its logarithm stays finite. */
const leastProbability = 1e-12

export interface OpenedModel {
  readonly runner: ModelRunner
  readonly facts: OnnxFacts
}

/** Loads a model and finds out how it is fed, or says why it can't be. */
export function openModel(
  model: Uint8Array,
  features: FeatureSet,
  open: OpenSession,
): OpenedModel | { readonly refusals: readonly Refusal[] } {
  let facts: OnnxFacts
  let session: ModelSession
  try {
    facts = readFacts(model)
    session = open(model)
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    return {
      refusals: [
        {
          found: `ONNX Runtime can't load it: ${said.split('\n')[0].slice(0, 300)}`,
          expected: 'a whole ONNX model in one file, of operators that onnxruntime 1.24 has',
          mend: 'export it again: weights within the file (no external data), target_opset 21 or lower',
        },
      ],
    }
  }
  const layout = layoutOf(session, facts, features)
  if ('refusals' in layout) {
    session.close()
    return layout
  }
  return { runner: new ModelRunner(session, layout, features), facts }
}

export class ModelRunner {
  readonly layout: Layout
  private readonly session: ModelSession
  private readonly features: FeatureSet
  private room = 0
  /** The model's columns: one array row-major, or one array each. */
  private buffers: Float32Array[] = []
  private buckets = new Float32Array(0)

  constructor(session: ModelSession, layout: Layout, features: FeatureSet) {
    this.session = session
    this.layout = layout
    this.features = features
  }

  /**
   * Raw scores of n rows of the registry's matrix (row-major), the first n of `rows` where given.
   * Throws where the runtime fails, or gives another number of scores.
   */
  score(
    matrix: ArrayLike<number>,
    n: number,
    bucket: number,
    scores: Float64Array,
    rows?: Int32Array,
  ): void {
    const { columns } = this.layout
    const stride = this.features.specs.length
    this.reserve(n)
    const width = columns.length
    for (let i = 0; i < n; i++) {
      const from = (rows ? rows[i] : i) * stride
      for (let j = 0; j < width; j++) this.put(i, j, matrix[from + columns[j]])
    }
    this.run(n, bucket, scores)
  }

  /** Raw scores of rows in the model's own columns. */
  scoreRows(rows: readonly (readonly number[])[], bucket: number, scores: Float64Array): void {
    this.reserve(rows.length)
    for (const [i, row] of rows.entries())
      for (let j = 0; j < this.layout.columns.length; j++) this.put(i, j, row[j])
    this.run(rows.length, bucket, scores)
  }

  /** A logit of a raw score. */
  logitOf(score: number): number {
    if (!this.layout.isProbability) return score
    return Math.log(Math.min(1, Math.max(score, leastProbability)))
  }

  close(): void {
    this.session.close()
  }

  private put(row: number, column: number, value: number): void {
    if (!this.layout.isMatrix) this.buffers[column][row] = value
    else this.buffers[0][row * this.layout.columns.length + column] = value
  }

  private reserve(n: number): void {
    if (n <= this.room) return
    this.room = Math.max(n, 2 * this.room)
    const { isMatrix, columns, wantsBucket } = this.layout
    this.buffers = isMatrix
      ? [new Float32Array(this.room * columns.length)]
      : columns.map(() => new Float32Array(this.room))
    if (wantsBucket) this.buckets = new Float32Array(this.room * this.features.buckets)
  }

  private run(n: number, bucket: number, scores: Float64Array): void {
    const { isMatrix, columns, inputs, wantsBucket, output } = this.layout
    const width = isMatrix ? columns.length : 1
    const dims = [n, width]
    const feeds = this.buffers.map((buffer, i) => ({
      name: inputs[i],
      data: buffer.subarray(0, n * width),
      dims,
    }))
    if (wantsBucket) {
      const { buckets } = this.features
      const data = this.buckets.subarray(0, n * buckets).fill(0)
      for (let i = 0; i < n; i++) data[i * buckets + bucket] = 1
      feeds.push({ name: BUCKET_INPUT, data, dims: [n, buckets] })
    }
    const { data } = this.session.run(feeds, output)
    const step = data.length / n
    if (step !== 1 && step !== 2)
      throw new RangeError(`${n} rows gave ${data.length} scores in ${output}`)
    for (let i = 0; i < n; i++) scores[i] = data[i * step + step - 1]
  }
}
