/** ONNX files (onnx.proto, IR version 8): what freshet reads of one, and how it writes one. Field numbers are onnx.proto's. */
import { eachField, MessageWriter } from './protobuf.ts'

/** What stands in a model beside what the runtime tells of it. */
export interface OnnxFacts {
  /** metadata_props: what the trainer wrote beside the graph. */
  readonly metadata: ReadonlyMap<string, string>
  /** Producer's name and version as given. */
  readonly producer: string
  /** The operator that makes each output of a node. */
  readonly operatorOf: ReadonlyMap<string, string>
}

/** Errors: RangeError where the bytes are no protobuf message. */
export function readFacts(model: Uint8Array): OnnxFacts {
  const metadata = new Map<string, string>()
  const operatorOf = new Map<string, string>()
  const producer: string[] = []
  eachField(model, (field, value) => {
    if (field === 2 || field === 3) producer.push(textOf(value))
    else if (field === 14) {
      const entry = ['', '']
      eachField(value, (of, part) => {
        entry[of - 1] = textOf(part)
      })
      metadata.set(entry[0], entry[1])
    } else if (field === 7)
      eachField(value, (of, node) => {
        if (of !== 1) return
        const outputs: string[] = []
        let operator = ''
        eachField(node, (inNode, part) => {
          if (inNode === 2) outputs.push(textOf(part))
          else if (inNode === 4) operator = textOf(part)
        })
        for (const output of outputs) operatorOf.set(output, operator)
      })
  })
  return { metadata, producer: producer.filter(Boolean).join(' '), operatorOf }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

const FLOAT = 1
const INT8 = 3
const INT64 = 7
const IR_VERSION = 8
const OPSET = 15

export interface OnnxGraph {
  readonly nodes: readonly {
    readonly operator: string
    readonly inputs: readonly string[]
    readonly outputs: readonly string[]
    /** Whole numbers alone. */
    readonly attributes?: Readonly<Record<string, number>>
  }[]
  readonly constants: readonly {
    readonly name: string
    readonly dims: readonly number[]
    readonly values: Float32Array | Int8Array | BigInt64Array
  }[]
  /** Tensors; a dimension by name is open. */
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  readonly metadata: Readonly<Record<string, string>>
}

interface OnnxValue {
  readonly name: string
  readonly dims: readonly (number | string)[]
  /** float where absent. */
  readonly type?: 'int64'
}

/** The bytes of an ONNX file. */
export function writeModel(graph: OnnxGraph): Buffer {
  const body = new MessageWriter()
  for (const { operator, inputs, outputs, attributes = {} } of graph.nodes) {
    const node = new MessageWriter()
    for (const input of inputs) node.text(1, input)
    for (const output of outputs) node.text(2, output)
    node.text(4, operator)
    // type 2: INT
    for (const [name, value] of Object.entries(attributes))
      node.message(5, new MessageWriter().text(1, name).int(3, value).int(20, 2))
    body.message(1, node)
  }
  body.text(2, 'freshet')
  for (const { name, dims, values } of graph.constants) {
    const tensor = new MessageWriter()
    for (const dim of dims) tensor.int(1, dim)
    tensor
      .int(2, typeOf(values))
      .text(8, name)
      .bytes(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    body.message(5, tensor)
  }
  for (const input of graph.inputs) body.message(11, valueInfo(input))
  for (const output of graph.outputs) body.message(12, valueInfo(output))
  const model = new MessageWriter().int(1, IR_VERSION).text(2, 'freshet').message(7, body)
  model.message(8, new MessageWriter().text(1, '').int(2, OPSET))
  for (const [key, value] of Object.entries(graph.metadata))
    model.message(14, new MessageWriter().text(1, key).text(2, value))
  return model.finish()
}

function typeOf(values: Float32Array | Int8Array | BigInt64Array): number {
  if (values instanceof Int8Array) return INT8
  return values instanceof BigInt64Array ? INT64 : FLOAT
}

function valueInfo({ name, dims, type }: OnnxValue): MessageWriter {
  const shape = new MessageWriter()
  for (const dim of dims) {
    const written = new MessageWriter()
    shape.message(1, typeof dim === 'number' ? written.int(1, dim) : written.text(2, dim))
  }
  const tensor = new MessageWriter().int(1, type === 'int64' ? INT64 : FLOAT).message(2, shape)
  return new MessageWriter().text(1, name).message(2, new MessageWriter().message(1, tensor))
}
