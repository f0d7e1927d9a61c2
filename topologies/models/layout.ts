/**
 * How a model takes the feature matrix and gives its scores, found out from what it declares; or why it can't be used.
 *
 *  - One float input [n, features]: columns in the order that its metadata `freshet.features` names, else all of the registry.
 *  - Or one float input [n, 1] a feature, each named as the feature, or as converters spell it: `pop_1h_share`.
 *  - Beside either, where the model wants it: `bucket` [n, buckets], one-hot, as an exported blend has it.
 *  - One float output: [n], [n, 1], or [n, 2] of a classifier (the second column is the probability of the positive).
 * These are the forms that the converters of LightGBM, XGBoost, scikit-learn and PyTorch write. Labels, as classifiers give
 * them beside, are passed over.
 */
import type { OnnxFacts } from './onnx-format.ts'
import type { ModelPort } from './onnxruntime.ts'

/** What a model can be fed with: the feature registry, as it is seen from here. */
export interface FeatureSet {
  readonly specs: readonly {
    readonly name: string
    readonly version: number
    readonly default: number
  }[]
  readonly hash: string
  /** Buckets of the blend's weights. */
  readonly buckets: number
}

/** Why a model is not used: what was found, what is expected, how to mend it. */
export interface Refusal {
  readonly found: string
  readonly expected: string
  readonly mend: string
}

export interface Layout {
  /** The registry's column of each of the model's. */
  readonly columns: readonly number[]
  /** Whether there is one input; else each column has its own. */
  readonly isMatrix: boolean
  readonly inputs: readonly string[]
  readonly wantsBucket: boolean
  readonly output: string
  /** The scores are probabilities: lists are drawn from logits, so their logarithm is taken. */
  readonly isProbability: boolean
}

export const FEATURES_KEY = 'freshet.features'
export const HASH_KEY = 'freshet.featureHash'
export const BUCKET_INPUT = 'bucket'
const OUTPUT_KEY = 'freshet.output'

export function layoutOf(
  model: { readonly inputs: readonly ModelPort[]; readonly outputs: readonly ModelPort[] },
  facts: OnnxFacts,
  features: FeatureSet,
): Layout | { readonly refusals: readonly Refusal[] } {
  const refusals: Refusal[] = []
  refuseOtherFeatures(facts, features, refusals)
  const inputs = inputLayout(model.inputs, facts, features, refusals)
  const output = outputLayout(model.outputs, facts, refusals)
  return inputs && output && refusals.length === 0 ? { ...inputs, ...output } : { refusals }
}

function refuseOtherFeatures(facts: OnnxFacts, features: FeatureSet, refusals: Refusal[]): void {
  const trainedOn = facts.metadata.get(HASH_KEY)
  if (trainedOn === undefined || trainedOn === features.hash) return
  refusals.push({
    found: `metadata ${HASH_KEY} is ${trainedOn}`,
    expected: `${features.hash}, the features as they are computed now`,
    mend: 'train again on examples whose feature_hash is the one expected (`freshet features list` says what it stands for)',
  })
}

function inputLayout(
  ports: readonly ModelPort[],
  facts: OnnxFacts,
  features: FeatureSet,
  refusals: Refusal[],
): Pick<Layout, 'columns' | 'isMatrix' | 'inputs' | 'wantsBucket'> | undefined {
  const before = refusals.length
  const column = columnsByName(features)
  const bucket = ports.find(port => port.name === BUCKET_INPUT && !column.has(BUCKET_INPUT))
  const inputs = ports.filter(port => port !== bucket)
  const isMatrix = inputs.length === 1 && !column.has(inputs[0].name)
  const named = isMatrix ? namedFeatures(facts, features, column, refusals) : undefined
  for (const port of ports) {
    refuseType(port, refusals)
    const width = port === bucket ? features.buckets : isMatrix ? named?.length : 1
    if (port.type !== 'no tensor') refuseShape(port, width, refusals)
  }
  if (inputs.length === 0)
    refusals.push({
      found: `no input${bucket ? ` but ${BUCKET_INPUT}` : ''}`,
      expected: 'one float input [n, features], or one [n, 1] for each feature it uses',
      mend: 'export the model with its inputs',
    })
  else if (!isMatrix) refuseUnknown(inputs, features, column, refusals)
  if (refusals.length > before) return undefined
  const wantsBucket = bucket !== undefined
  return {
    columns: named ?? inputs.map(port => column.get(port.name) ?? -1),
    isMatrix,
    inputs: inputs.map(port => port.name),
    wantsBucket,
  }
}

/** skl2onnx writes _ for whatever is neither letter nor digit. */
function columnsByName({ specs }: FeatureSet): ReadonlyMap<string, number> {
  const spelled = specs.map(({ name }, i) => [name.replace(/[^A-Za-z0-9_]/g, '_'), i] as const)
  return new Map([...spelled, ...specs.map(({ name }, i) => [name, i] as const)])
}

/** Columns of the one input, or undefined where the metadata names what there is not. */
function namedFeatures(
  facts: OnnxFacts,
  features: FeatureSet,
  column: ReadonlyMap<string, number>,
  refusals: Refusal[],
): number[] | undefined {
  const given = facts.metadata.get(FEATURES_KEY)
  if (given === undefined) return features.specs.map((_, i) => i)
  const names = given.split(',').map(name => name.trim())
  const unknown = names.filter(name => !column.has(name))
  const doubled = names.filter((name, i) => names.indexOf(name) !== i)
  if (unknown.length + doubled.length === 0) return names.map(name => column.get(name) ?? -1)
  refusals.push({
    found: `metadata ${FEATURES_KEY} names ${[...unknown.map(name => `${name || '(nothing)'}, which there is not`), ...doubled.map(name => `${name} twice`)].join('; ')}`,
    expected:
      'features of the registry, each once, separated by commas, in the order of the columns',
    mend: '`freshet features list` has the names; write those the model was trained on into the metadata',
  })
  return undefined
}

function refuseUnknown(
  inputs: readonly ModelPort[],
  features: FeatureSet,
  column: ReadonlyMap<string, number>,
  refusals: Refusal[],
): void {
  const unknown = inputs.map(({ name }) => name).filter(name => !column.has(name))
  if (unknown.length === 0) return
  refusals.push({
    found: `inputs ${unknown.slice(0, 5).join(', ')}${unknown.length > 5 ? ` and ${unknown.length - 5} more` : ''}, which are no features`,
    expected: `either one float input [n, ${features.specs.length}], or inputs [n, 1] named as features`,
    mend: '`freshet features list` has the names; rename the inputs, or put the columns into one input',
  })
}

function refuseType({ name, type }: ModelPort, refusals: Refusal[]): void {
  if (type === 'float32') return
  refusals.push({
    found: `input ${name} is ${type}`,
    expected: 'float32',
    mend: 'export it with float inputs (skl2onnx, onnxmltools: FloatTensorType; PyTorch: model.float())',
  })
}

/** @param width of the second dimension; undefined: not known. */
function refuseShape(
  { name, shape }: ModelPort,
  width: number | undefined,
  refusals: Refusal[],
): void {
  const shown = `input ${name} has the shape [${shape.map(dim => (dim === -1 ? 'n' : dim)).join(', ')}]`
  const expected = `[n, ${width ?? 'features'}] with n open`
  if (shape.length !== 2)
    refusals.push({
      found: shown,
      expected,
      mend: 'export it with two dimensions: rows and features',
    })
  else if (shape[0] !== -1)
    refusals.push({
      found: shown,
      expected,
      mend: `leave the number of rows open (skl2onnx, onnxmltools: FloatTensorType([None, ${width ?? 'features'}]); PyTorch: dynamic_axes={'${name}': {0: 'n'}})`,
    })
  else if (width !== undefined && shape[1] !== -1 && shape[1] !== width)
    refusals.push({
      found: shown,
      expected,
      mend: `train on the registry's features in their order (\`freshet features list\`), or name the columns in the metadata ${FEATURES_KEY}`,
    })
}

function outputLayout(
  outputs: readonly ModelPort[],
  facts: OnnxFacts,
  refusals: Refusal[],
): Pick<Layout, 'output' | 'isProbability'> | undefined {
  const expected = 'one float output: [n], [n, 1], or [n, 2] of a classifier'
  const floats = outputs.filter(port => port.type === 'float32' || port.type === 'float64')
  if (floats.length === 0) {
    const mapped = outputs.find(({ type, name }) => type === 'no tensor' || isZipMap(name, facts))
    refusals.push({
      found: mapped
        ? `output ${mapped.name} is a list of maps (ZipMap)`
        : `no float output, only ${outputs.map(({ name, type }) => `${name} (${type})`).join(', ') || 'none at all'}`,
      expected,
      mend: mapped
        ? "turn the ZipMap off: skl2onnx convert_sklearn(model, ..., options={id(model): {'zipmap': False}}), onnxmltools convert_lightgbm(model, ..., zipmap=False)"
        : 'export the scores and not the labels alone',
    })
    return undefined
  }
  const port = floats.find(({ name }) => name === 'probabilities') ?? floats[0]
  if (floats.length > 1 && port.name !== 'probabilities') {
    refusals.push({
      found: `outputs ${floats.map(({ name }) => name).join(', ')}`,
      expected,
      mend: 'export the one that ranks alone, or name it `probabilities` where it is one',
    })
    return undefined
  }
  const { shape } = port
  const last = shape.at(-1)
  const isTwo = shape.length === 2 && last === 2
  const fits = shape.length === 1 || (shape.length === 2 && (last === 1 || last === -1 || isTwo))
  if (!fits) {
    refusals.push({
      found: `output ${port.name} has the shape [${shape.map(dim => (dim === -1 ? 'n' : dim)).join(', ')}]`,
      expected,
      mend: 'one score a row: of several classes train the one that is wanted against the rest, of several objectives export their weighted sum',
    })
    return undefined
  }
  const said = facts.metadata.get(OUTPUT_KEY)
  if (said !== undefined && said !== 'logit' && said !== 'probability') {
    refusals.push({
      found: `metadata ${OUTPUT_KEY} is ${said}`,
      expected: 'logit or probability',
      mend: 'write one of them, or leave it out: two columns and a last Sigmoid are taken for probabilities, all else for logits',
    })
    return undefined
  }
  const isProbability =
    said === undefined
      ? isTwo || facts.operatorOf.get(port.name) === 'Sigmoid'
      : said === 'probability'
  return { output: port.name, isProbability }
}

const isZipMap = (output: string, facts: OnnxFacts): boolean =>
  facts.operatorOf.get(output) === 'ZipMap'

/**
 * Why a model that was pushed for `features` (name@version, separated by commas) can't be fed today; undefined: it can.
 */
export function otherFeatures(features: string, { specs }: FeatureSet): string | undefined {
  const known = new Map(specs.map(({ name, version }) => [name, version]))
  for (const feature of features.split(',').filter(Boolean)) {
    const at = feature.lastIndexOf('@')
    const name = feature.slice(0, at)
    if (known.get(name) === Number(feature.slice(at + 1))) continue
    return `it was pushed for feature ${feature}, this program has ${known.has(name) ? `${name}@${known.get(name)}` : 'none of that name'}: train it on today's features`
  }
  return undefined
}
