import { expect, it } from 'vitest'
import { checkModel } from './check.ts'
import type { FeatureSet } from './layout.ts'
import { writeModel } from './onnx-format.ts'
import { openRuntime } from './onnxruntime.ts'
import { openModel } from './runner.ts'

const features: FeatureSet = {
  specs: ['a', 'b', 'c'].map(name => ({ name, version: 1, default: 0 })),
  hash: 'f00d',
  buckets: 2,
}
const open = openRuntime()

/** most x sigmoid(a + b + c), said to be a probability. */
const upTo = (most: number): Buffer =>
  writeModel({
    inputs: [{ name: 'x', dims: ['n', 3] }],
    nodes: [
      { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
      { operator: 'Sigmoid', inputs: ['z'], outputs: ['s'] },
      { operator: 'Mul', inputs: ['s', 'm'], outputs: ['y'] },
    ],
    constants: [
      { name: 'w', dims: [3, 1], values: Float32Array.of(1, 1, 1) },
      { name: 'm', dims: [1], values: Float32Array.of(most) },
    ],
    outputs: [{ name: 'y', dims: ['n', 1] }],
    metadata: { 'freshet.output': 'probability' },
  })

function refusal(model: Buffer): string {
  const { refusals } = checkModel(model, {
    ...{ features, open, maxBytes: 1 << 20, budgetMs: 1_000 },
    elapsedMs: () => performance.now(),
  })
  return refusals.map(({ found }) => found).join(' | ')
}

it('probabilities that rounding left a little above 1, as forests give them, are taken for 1', () => {
  expect(refusal(upTo(1.0000038))).toBe('')
  const opened = openModel(upTo(1.0000038), features, open)
  if ('refusals' in opened) throw new Error(JSON.stringify(opened.refusals))
  const scores = new Float64Array(1)
  opened.runner.score([100, 100, 100], 1, 0, scores)
  expect(scores[0]).toBeGreaterThan(1)
  expect(opened.runner.logitOf(scores[0])).toBe(0)
  expect(refusal(upTo(1.001))).toMatch(/gives the probability 1\.00/)
})
