/**
 * The blend as an ONNX model, for a device that has the features. The blend is log-linear: logit = f . (shared + w_bucket).
 * Inputs `features` [n, features] and `bucket` [n, buckets] (one-hot), output `logit` [n].
 *
 *   float: sum over b of bucket_b (f . W_b), with W_b = shared + w_b as the columns of one matrix
 *   int8:  the same with W_b as int8 (a scale a bucket, zero point 0) and f quantized as it comes (DynamicQuantizeLinear,
 *          one scale a call): products and sums are of integers (MatMulInteger), as onnxruntime's quantize_dynamic does it
 *
 * A list's order is what counts; the constant that a softmax over its candidates takes out is left out.
 */
import { BUCKET_INPUT, FEATURES_KEY, type FeatureSet, HASH_KEY } from './layout.ts'
import { type OnnxGraph, writeModel } from './onnx-format.ts'

/** Row-major: buckets x features, each shared + bucket. */
export type BlendWeights = Float64Array | Float32Array

export function blendModel(
  weights: BlendWeights,
  features: FeatureSet,
  precision: 'float' | 'int8',
): Buffer {
  const { specs, buckets, hash } = features
  const products = precision === 'float' ? floatProducts : int8Products
  const { nodes, constants } = products(weights, specs.length, buckets)
  return writeModel({
    inputs: [
      { name: 'features', dims: ['n', specs.length] },
      { name: BUCKET_INPUT, dims: ['n', buckets] },
    ],
    nodes: [
      ...nodes,
      { operator: 'Mul', inputs: ['products', BUCKET_INPUT], outputs: ['chosen'] },
      {
        operator: 'ReduceSum',
        inputs: ['chosen', 'columns'],
        outputs: ['logit'],
        attributes: { keepdims: 0 },
      },
    ],
    constants: [...constants, { name: 'columns', dims: [1], values: BigInt64Array.of(1n) }],
    outputs: [{ name: 'logit', dims: ['n'] }],
    metadata: { [HASH_KEY]: hash, [FEATURES_KEY]: specs.map(({ name }) => name).join() },
  })
}

type Products = Pick<OnnxGraph, 'nodes' | 'constants'>

function floatProducts(weights: BlendWeights, width: number, buckets: number): Products {
  const columns = new Float32Array(width * buckets)
  for (let b = 0; b < buckets; b++)
    for (let j = 0; j < width; j++) columns[j * buckets + b] = weights[b * width + j]
  return {
    nodes: [{ operator: 'MatMul', inputs: ['features', 'weights'], outputs: ['products'] }],
    constants: [{ name: 'weights', dims: [width, buckets], values: columns }],
  }
}

function int8Products(weights: BlendWeights, width: number, buckets: number): Products {
  const columns = new Int8Array(width * buckets)
  const scales = new Float32Array(buckets)
  for (let b = 0; b < buckets; b++) {
    let largest = 0
    for (let j = 0; j < width; j++) largest = Math.max(largest, Math.abs(weights[b * width + j]))
    scales[b] = largest === 0 ? 1 : largest / 127
    for (let j = 0; j < width; j++)
      columns[j * buckets + b] = Math.round(weights[b * width + j] / scales[b])
  }
  return {
    nodes: [
      {
        operator: 'DynamicQuantizeLinear',
        inputs: ['features'],
        outputs: ['quantized', 'scale', 'zero'],
      },
      {
        operator: 'MatMulInteger',
        inputs: ['quantized', 'weights', 'zero'],
        outputs: ['integers'],
      },
      { operator: 'Cast', inputs: ['integers'], outputs: ['sums'], attributes: { to: 1 } },
      { operator: 'Mul', inputs: ['sums', 'scale'], outputs: ['scaled'] },
      { operator: 'Mul', inputs: ['scaled', 'scales'], outputs: ['products'] },
    ],
    constants: [
      { name: 'weights', dims: [width, buckets], values: columns },
      { name: 'scales', dims: [buckets], values: scales },
    ],
  }
}
