/**
 * The one file that reaches into onnxruntime-node, an optional dependency. Its public `run` is a promise around a native
 * call that blocks the thread just as long: two turns of the event loop for nothing, in the middle of a list. Here that
 * native call is used as it is, synchronously. Measured: 7 us a call beside the rows, of ~450 us a list.
 */
import { createRequire } from 'node:module'
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { FreshetError, messageOf } from '../../streams/errors.ts'

/** An input or output as the model declares it. `shape`: -1 where a dimension is open. */
export interface ModelPort {
  readonly name: string
  /** 'float32', 'int64', ..., or 'no tensor' (a sequence or map). */
  readonly type: string
  readonly shape: readonly number[]
}

export interface ModelTensor {
  readonly data: ArrayLike<number>
  readonly dims: readonly number[]
}

/** A loaded model. Blocks the thread while it runs. */
export interface ModelSession {
  readonly inputs: readonly ModelPort[]
  readonly outputs: readonly ModelPort[]
  /** Runs with float tensors and gives one output. Throws what the runtime says. */
  run(
    feeds: readonly { name: string; data: Float32Array; dims: readonly number[] }[],
    output: string,
  ): ModelTensor
  close(): void
}

/** Loads a model from its bytes. Throws what the runtime says of a model that it can't load. */
export type OpenSession = (model: Uint8Array) => ModelSession

interface NativePort {
  readonly name: string
  readonly isTensor: boolean
  readonly shape: readonly number[]
  readonly type: number
}

interface NativeSession {
  loadModel(
    bytes: ArrayBufferLike,
    offset: number,
    length: number,
    options: InferenceSession.SessionOptions,
  ): void
  readonly inputMetadata: readonly NativePort[]
  readonly outputMetadata: readonly NativePort[]
  run(
    feeds: Record<string, Tensor>,
    fetches: Record<string, null>,
    options: InferenceSession.RunOptions,
  ): Record<string, Tensor>
  dispose(): void
}

interface Binding {
  readonly binding: { readonly InferenceSession: new () => NativeSession }
  initOrt(): void
}

const VERSION = '1.24.3'
/** TensorProto.DataType, as onnx.proto numbers them. */
const types = [
  'undefined',
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
]
/** What goes wrong is thrown: the runtime need not print it too. */
const quiet = { logSeverityLevel: 4 } as const
/** One thread: a process has one core. */
const options: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  ...quiet,
}

let opened: OpenSession | undefined

/** Errors: DEPENDENCY_UNSUITABLE where onnxruntime-node is missing or another version than the one this was written for. */
export function openRuntime(): OpenSession {
  opened ??= load()
  return opened
}

function load(): OpenSession {
  const require = createRequire(import.meta.url)
  let ort: typeof import('onnxruntime-node')
  let native: Binding
  try {
    ort = require('onnxruntime-node')
    native = require('onnxruntime-node/dist/binding.js')
  } catch (error) {
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `models are run with onnxruntime-node, an optional dependency that is not installed here (${messageOf(error).split('\n')[0]}): \`npm ci\` without --omit=optional brings version ${VERSION}`,
      error,
    )
  }
  const found = ort.env.versions.node
  if (found !== VERSION || typeof native.binding?.InferenceSession !== 'function')
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `onnxruntime-node is ${found} and its inside is used as it is in ${VERSION}: \`npm ci\` brings that one`,
    )
  native.initOrt()
  const { Tensor } = ort
  const { InferenceSession } = native.binding
  return model => {
    const session = new InferenceSession()
    session.loadModel(model.buffer, model.byteOffset, model.byteLength, options)
    return {
      inputs: session.inputMetadata.map(port),
      outputs: session.outputMetadata.map(port),
      run(feeds, output) {
        const given: Record<string, Tensor> = {}
        for (const { name, data, dims } of feeds) given[name] = new Tensor('float32', data, dims)
        const { data, dims } = session.run(given, { [output]: null }, quiet)[output]
        return { data: data as unknown as ArrayLike<number>, dims }
      },
      close: () => session.dispose(),
    }
  }
}

function port({ name, isTensor, shape, type }: NativePort): ModelPort {
  if (!isTensor) return { name, type: 'no tensor', shape: [] }
  return { name, type: types[type] ?? `type ${type}`, shape: [...shape] }
}
