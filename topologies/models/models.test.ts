/** Models of our own making, small enough to reckon their scores by hand; those of other tools: test/e2e/models.test.ts. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { type CheckSettings, checkModel } from './check.ts'
import { blendModel } from './export.ts'
import { featureSet } from './features.ts'
import type { FeatureSet } from './layout.ts'
import { type OnnxGraph, readFacts, writeModel } from './onnx-format.ts'
import { openRuntime } from './onnxruntime.ts'
import { openModel } from './runner.ts'
import { takeBest } from './scorer.ts'

const features: FeatureSet = {
  specs: ['a', 'b', 'c'].map(name => ({ name, version: 1, default: 0 })),
  hash: 'f00d',
  buckets: 2,
}
const open = openRuntime()

const settings = (changes: Partial<CheckSettings> = {}): CheckSettings => ({
  features,
  open,
  maxBytes: 1 << 20,
  budgetMs: 1_000,
  elapsedMs: () => performance.now(),
  ...changes,
})

/** score = features . (1, 2, 3), with changes. */
const linear = (changes: Partial<OnnxGraph> = {}): Buffer =>
  writeModel({
    inputs: [{ name: 'x', dims: ['n', 3] }],
    nodes: [{ operator: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    constants: [{ name: 'w', dims: [3, 1], values: Float32Array.of(1, 2, 3) }],
    outputs: [{ name: 'y', dims: ['n', 1] }],
    metadata: {},
    ...changes,
  })

function scores(model: Buffer, matrix: readonly number[], n: number, bucket = 0): number[] {
  const opened = openModel(model, features, open)
  if ('refusals' in opened) throw new Error(JSON.stringify(opened.refusals))
  const out = new Float64Array(n)
  opened.runner.score(matrix, n, bucket, out)
  return [...out].map(score => opened.runner.logitOf(score))
}

function refusal(model: Buffer, changes: Partial<CheckSettings> = {}): string {
  const { refusals } = checkModel(model, settings(changes))
  for (const { found, expected, mend } of refusals)
    for (const text of [found, expected, mend]) {
      expect(text.length).toBeGreaterThan(5)
      expect(text).not.toMatch(/undefined|\[object|NaN, NaN/)
    }
  return refusals.map(({ found }) => found).join(' | ')
}

describe('how a model is fed', () => {
  const matrix = [1, 10, 100, 2, 20, 200]

  it('takes the columns in the order of the registry', () => {
    expect(scores(linear(), matrix, 2)).toEqual([321, 642])
    expect(checkModel(linear(), settings()).refusals).toEqual([])
  })

  it('takes those that the metadata names, in their order', () => {
    const picked = linear({
      inputs: [{ name: 'x', dims: ['n', 2] }],
      constants: [{ name: 'w', dims: [2, 1], values: Float32Array.of(1, 2) }],
      metadata: { 'freshet.features': 'c, a' },
    })
    expect(scores(picked, matrix, 2)).toEqual([102, 204])
    expect(checkModel(picked, settings()).features).toEqual(['c@1', 'a@1'])
  })

  it('takes an input a feature', () => {
    const named = linear({
      inputs: ['b', 'a'].map(name => ({ name, dims: ['n', 1] })),
      nodes: [{ operator: 'Sub', inputs: ['b', 'a'], outputs: ['y'] }],
      constants: [],
    })
    expect(scores(named, matrix, 2)).toEqual([9, 18])
  })

  it('takes the names as converters spell them', () => {
    const dotted: FeatureSet = {
      ...features,
      specs: features.specs.map(spec => ({ ...spec, name: `${spec.name}.x` })),
    }
    const model = linear({
      inputs: ['b_x', 'a_x'].map(name => ({ name, dims: ['n', 1] })),
      nodes: [{ operator: 'Sub', inputs: ['b_x', 'a_x'], outputs: ['y'] }],
      constants: [],
    })
    const { refusals, features: found } = checkModel(model, settings({ features: dotted }))
    expect(refusals).toEqual([])
    expect(found).toEqual(['b.x@1', 'a.x@1'])
  })

  it('takes the logarithm of a probability: of a last Sigmoid, or where the metadata says so', () => {
    const sigmoid = linear({
      nodes: [
        { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
        { operator: 'Sigmoid', inputs: ['z'], outputs: ['y'] },
      ],
    })
    const [logit] = scores(sigmoid, [1, 0, 0], 1)
    expect(logit).toBeCloseTo(Math.log(1 / (1 + Math.exp(-1))), 6)
    expect(scores(linear({ metadata: { 'freshet.output': 'probability' } }), [0, 0, 0], 1)).toEqual(
      [Math.log(1e-12)],
    )
  })
})

describe('a push is refused', () => {
  const one = (name: string, dims: (number | string)[]): Buffer =>
    linear({ inputs: [{ name, dims }] })

  it.each<[what: string, model: Buffer, found: RegExp]>([
    ['bytes that are no model', Buffer.from('no model'), /can't load/],
    ['nothing', Buffer.alloc(0), /can't load/],
    [
      'too few columns',
      linear({
        inputs: [{ name: 'x', dims: ['n', 2] }],
        constants: [{ name: 'w', dims: [2, 1], values: Float32Array.of(1, 2) }],
      }),
      /shape \[n, 2\]/,
    ],
    ['a fixed number of rows', one('x', [1, 3]), /shape \[1, 3\]/],
    ['three dimensions', one('x', ['n', 1, 3]), /shape \[n, 1, 3\]/],
    [
      'a feature that there is not',
      linear({ metadata: { 'freshet.features': 'a,b,d' } }),
      /names d, which there is not/,
    ],
    ['a feature twice', linear({ metadata: { 'freshet.features': 'a,b,a' } }), /names a twice/],
    [
      'other features',
      linear({ metadata: { 'freshet.featureHash': 'dead' } }),
      /featureHash is dead/,
    ],
    [
      'inputs that are no features',
      linear({
        inputs: ['a', 'z'].map(name => ({ name, dims: ['n', 1] })),
        nodes: [{ operator: 'Add', inputs: ['a', 'z'], outputs: ['y'] }],
        constants: [],
      }),
      /inputs z, which are no features/,
    ],
    [
      'three scores a row',
      linear({
        constants: [{ name: 'w', dims: [3, 3], values: new Float32Array(9) }],
        outputs: [{ name: 'y', dims: ['n', 3] }],
      }),
      /shape \[n, 3\]/,
    ],
    [
      'a label alone',
      linear({
        nodes: [
          { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
          { operator: 'Cast', inputs: ['z'], outputs: ['y'], attributes: { to: 7 } },
        ],
        outputs: [{ name: 'y', dims: ['n', 1], type: 'int64' }],
      }),
      /no float output, only y \(int64\)/,
    ],
    [
      'an output that it does not say',
      linear({ metadata: { 'freshet.output': 'rank' } }),
      /freshet.output is rank/,
    ],
    [
      'NaN for zeros',
      linear({
        nodes: [
          { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
          { operator: 'Div', inputs: ['z', 'z'], outputs: ['y'] },
        ],
      }),
      /row of defaults gives NaN/,
    ],
    [
      'NaN for some',
      linear({
        nodes: [
          { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
          { operator: 'Sqrt', inputs: ['z'], outputs: ['y'] },
        ],
      }),
      /random row \d+, of values up to [\d.]+ gives NaN/,
    ],
    [
      'infinity',
      linear({
        nodes: [
          { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
          { operator: 'Exp', inputs: ['z'], outputs: ['y'] },
        ],
      }),
      /random row .* gives Infinity/,
    ],
    [
      'a batch that it was not traced for',
      linear({
        nodes: [
          { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
          { operator: 'Reshape', inputs: ['z', 's'], outputs: ['y'] },
        ],
        constants: [
          { name: 'w', dims: [3, 1], values: Float32Array.of(1, 2, 3) },
          { name: 's', dims: [2], values: BigInt64Array.of(1n, 1n) },
        ],
      }),
      /does not run/,
    ],
    [
      'probabilities beyond 1',
      linear({ metadata: { 'freshet.output': 'probability' } }),
      /gives the probability -?[\d.]+/,
    ],
  ])('%s', (_, model, found) => {
    expect(refusal(model)).toMatch(found)
  })

  it('too large', () => {
    expect(refusal(linear(), { maxBytes: 10 })).toMatch(/has \d+ bytes/)
  })

  it('too slow, told from few rows where it is far too slow', () => {
    let now = 0
    const rows: number[] = []
    const slow = (perRow: number): Partial<CheckSettings> => ({
      budgetMs: 20,
      elapsedMs: () => now,
      open: bytes => {
        const session = open(bytes)
        return {
          ...session,
          run(feeds, output) {
            rows.push(feeds[0].dims[0])
            now += feeds[0].dims[0] * perRow
            return session.run(feeds, output)
          },
        }
      },
    })
    expect(refusal(linear(), slow(0.021))).toMatch(/1,000 rows take 21.0 ms/)
    expect(Math.max(...rows)).toBe(1000)
    rows.length = 0
    expect(refusal(linear(), slow(10))).toMatch(/take 1.00e\+4 ms .*reckoned from 10/)
    expect(rows.filter(n => n !== 258)).not.toContain(100)
    expect(checkModel(linear(), settings(slow(0.019))).refusals).toEqual([])
  })

  it.each<[what: string, golden: CheckSettings['golden'], found: RegExp]>([
    [
      'another score',
      {
        rows: [
          [1, 1, 1],
          [1, 0, 0],
        ],
        outputs: [6, 1.1],
      },
      /row 2 .* gives 1, it says 1.1/,
    ],
    ['a little beside', { rows: [[1, 1, 1]], outputs: [6.0001] }, /row 1/],
    [
      'other columns',
      { features: ['a', 'c', 'b'], rows: [[1, 1, 1]], outputs: [6] },
      /columns a, c, b/,
    ],
    ['a short row', { rows: [[1, 1]], outputs: [6] }, /row 1 of the golden batch has 2 values/],
    ['nothing', { rows: [], outputs: [] }, /0 rows/],
    ['NaN', { rows: [[1, 1, 1]], outputs: [Number.NaN] }, /row 1/],
  ])('golden batch: %s', (_, golden, found) => {
    expect(refusal(linear(), { golden })).toMatch(found)
  })

  it('and a golden batch that holds is none', () => {
    const golden = { features: ['a', 'b', 'c'], rows: [[1, 1, 1]], outputs: [6.00001] }
    expect(checkModel(linear(), settings({ golden })).refusals).toEqual([])
  })
})

describe('the blend as a model', () => {
  const weights = fc.float64Array({ minLength: 6, maxLength: 6, min: -3, max: 3, noNaN: true })
  const rows = fc.array(
    fc.tuple(
      fc.float({ min: -5, max: 5, noNaN: true }),
      fc.float({ min: -5, max: 5, noNaN: true }),
      fc.float({ min: -5, max: 5, noNaN: true }),
    ),
    { minLength: 1, maxLength: 20 },
  )

  it('scores as the weights of its bucket do', () => {
    fc.assert(
      fc.property(weights, rows, fc.nat(1), (w, given, bucket) => {
        const model = blendModel(w, features, 'float')
        const found = scores(model, given.flat(), given.length, bucket)
        for (const [i, row] of given.entries()) {
          const expected = row.reduce((sum, x, j) => sum + x * w[bucket * 3 + j], 0)
          expect(Math.abs(found[i] - expected)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)))
        }
      }),
      { numRuns: 50 },
    )
  })

  it('as int8 keeps the order, of features as they are: some to 7, some to 1', () => {
    const registry = featureSet()
    const width = registry.specs.length
    const random = randomFrom(11)
    const normal = (): number =>
      Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    const w = Float64Array.from({ length: registry.buckets * width }, () => 0.4 * normal())
    const opened = openModel(blendModel(w, registry, 'int8'), registry, open)
    if ('refusals' in opened) throw new Error(JSON.stringify(opened.refusals))
    for (let list = 0; list < 20; list++) {
      const n = 110
      const bucket = list % registry.buckets
      const given = Float64Array.from({ length: n * width }, (_, i) =>
        i % 2 === 0 ? 7 * random() ** 3 : random(),
      )
      const exact = Array.from({ length: n }, (_, i) => {
        let sum = 0
        for (let j = 0; j < width; j++) sum += given[i * width + j] * w[bucket * width + j]
        return sum
      })
      const found = new Float64Array(n)
      opened.runner.score(given, n, bucket, found)
      expect(spearman(exact, [...found])).toBeGreaterThan(0.995)
    }
  })

  it('says what it is made of', () => {
    const { metadata, producer } = readFacts(blendModel(new Float64Array(6), features, 'int8'))
    expect(Object.fromEntries(metadata)).toEqual({
      'freshet.featureHash': 'f00d',
      'freshet.features': 'a,b,c',
    })
    expect(producer).toBe('freshet')
  })
})

describe('the cascade', () => {
  it('takes the best, however they stand', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.double({ noNaN: true, min: -10, max: 10 }).map(x => x + 0),
            fc.integer({ min: 0, max: 3 }),
          ),
          { maxLength: 200 },
        ),
        fc.integer({ min: 1, max: 210 }),
        (given, depth) => {
          const order = new Int32Array(given.length)
          const n = takeBest(Float64Array.from(given), given.length, depth, order)
          expect(n).toBe(Math.min(depth, given.length))
          expect([...order].sort((a, b) => a - b)).toEqual(given.map((_, i) => i))
          const best = [...given].sort((a, b) => b - a).slice(0, n)
          expect([...order.subarray(0, n)].map(i => given[i]).sort((a, b) => b - a)).toEqual(best)
        },
      ),
    )
  })
})

/** Correlation of ranks; ties do not matter here. */
function spearman(a: readonly number[], b: readonly number[]): number {
  const ranks = (values: readonly number[]): number[] => {
    const rank: number[] = []
    for (const [r, i] of [...values.keys()].sort((i, j) => values[i] - values[j]).entries())
      rank[i] = r
    return rank
  }
  const [x, y] = [ranks(a), ranks(b)]
  const n = a.length
  const squares = x.reduce((sum, r, i) => sum + (r - y[i]) ** 2, 0)
  return 1 - (6 * squares) / (n * (n * n - 1))
}
