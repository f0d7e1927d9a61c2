/** `freshet models export`: the blend as it ranks now, or a promoted model, as an ONNX file. */
import { writeFileSync } from 'node:fs'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { readUpTo } from '../../streams/runtime/restore.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import { buckets } from '../../topologies/blend/newton.ts'
import { BlendWeights } from '../../topologies/blend/weights.ts'
import { learnerStores } from '../../topologies/learner/rows.ts'
import { blendModel } from '../../topologies/models/export.ts'
import { featureSet } from '../../topologies/models/features.ts'
import { shortSha } from '../../topologies/models/shelf.ts'
import { action, answer, type Call, command, EXIT, notDone } from '../call.ts'
import { stateInForce } from '../compose.ts'
import { type OpenedModels, openModels } from '../models-topic.ts'
import { count } from '../terminal.ts'

export function exportModel() {
  return command(
    'export',
    'Writes the blend as it ranks now (with --name the promoted model of that name) as an ONNX file, for the device',
    'freshet models export --int8 --to blend.onnx',
  )
    .requiredOption('--to <file>', 'where to write it')
    .option('--name <name>', 'the promoted model of this name instead of the blend')
    .option('--int8', 'the blend with int8 weights and products of integers', false)
    .action(action(exportTo))
}

async function exportTo(call: Call): Promise<number> {
  const { name, to, int8 } = call.flags as { name?: string; to: string; int8: boolean }
  if (name !== undefined && int8)
    throw new FreshetError(
      'CALL_INVALID',
      '--int8 quantizes the blend; a pushed model is written as it was pushed: quantize it with onnxruntime.quantization before the push',
    )
  const opened = await openModels(call)
  try {
    const found =
      name === undefined
        ? await blendAsModel(call, opened, int8 ? 'int8' : 'float')
        : await promotedModel(opened, name)
    if (typeof found === 'string') return notDone(found)
    const { bytes, model, about } = found
    write(to, bytes)
    answer(call, { file: to, model, sizeBytes: bytes.length, ...about }, () =>
      [
        `${model} is in ${to}, ${count(bytes.length)} bytes`,
        ...Object.entries(about).map(([what, value]) => `${what} ${value}`),
      ].join(', '),
    )
    return EXIT.done
  } finally {
    await opened.close()
  }
}

interface Exported {
  readonly bytes: Uint8Array
  readonly model: string
  readonly about: Readonly<Record<string, string | number>>
}

async function promotedModel({ topic }: OpenedModels, name: string): Promise<Exported | string> {
  const shelf = await topic.read()
  const pointer = shelf.pointer(name)
  const manifest = pointer && shelf.manifest(name, pointer.sha256)
  if (!manifest) return `no model ${name} is promoted (\`freshet models list\` has those that are)`
  const bytes = await topic.bytesOf(manifest)
  if ('missing' in bytes) return bytes.missing
  return {
    bytes,
    model: `${name}@${shortSha(manifest.sha256)}`,
    about: { sha256: manifest.sha256 },
  }
}

/** From the row of weights on the learner's changelog, as every process ranks with it; or why not. */
async function blendAsModel(
  { values }: Call,
  { transport }: OpenedModels,
  precision: 'float' | 'int8',
): Promise<Exported | string> {
  const { names } = await stateInForce(values, transport)
  const at = { topic: names.changelog('learner'), partition: 0 }
  const weights = new BlendWeights()
  if ((await transport.topics.describe([at.topic])).has(at.topic)) {
    const [{ end }] = await transport.topics.offsets([at])
    const take = (key: Buffer | null, value: Buffer | null): void => {
      if (key?.[0] === learnerStores.blend) weights.read(value && new ByteReader(value))
    }
    await readUpTo(
      transport,
      at,
      end,
      ({ records }) => {
        for (const { key, value } of records) take(key, value)
      },
      () => false,
    )
  }
  if (weights.learnt === 0)
    return `${at.topic} holds no weights of the blend for today's features: let \`freshet run\` learn from some positives first`
  const features = featureSet()
  const sums = new Float64Array(buckets * features.specs.length)
  for (let b = 0; b < buckets; b++)
    weights.of(b, sums.subarray(b * features.specs.length, (b + 1) * features.specs.length))
  return {
    bytes: blendModel(sums, features, precision),
    model: `the blend (${precision})`,
    about: { 'positives learnt': weights.learnt, features: features.hash },
  }
}

function write(file: string, bytes: Uint8Array): void {
  try {
    writeFileSync(file, bytes)
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `--to ${file} can't be written: ${messageOf(error)}`,
      error,
    )
  }
}
