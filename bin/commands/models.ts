/** `freshet models`: models from other tools, checked, kept on the topic, promoted to rank, taken back. */
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { checkModel, type Verdict } from '../../topologies/models/check.ts'
import { featureSet } from '../../topologies/models/features.ts'
import { otherFeatures } from '../../topologies/models/layout.ts'
import { openRuntime } from '../../topologies/models/onnxruntime.ts'
import { modelName, takenNames } from '../../topologies/models/options.ts'
import { CHUNK_BYTES, type Manifest, type Shelf, shortSha } from '../../topologies/models/shelf.ts'
import { action, answer, type Call, command, EXIT, moment, notDone } from '../call.ts'
import { readBytes, readGolden } from '../model-files.ts'
import { type OpenedModels, openModels } from '../models-topic.ts'
import { count, durationText, paint, table } from '../terminal.ts'
import { exportModel } from './export.ts'

export function modelsCommand() {
  const push = command(
    'push <file>',
    'Checks an ONNX model and puts it on the topic, named by its sha256; it ranks once it is promoted',
    'freshet models push ranker.onnx --name ranker --golden golden.json --trainer "lightgbm 4.6, ctr v3"',
  )
    .requiredOption('--name <name>', 'what it is called, before the @')
    .option('--golden <file>', 'JSON of rows and the outputs that the trainer saw')
    .option('--trained-from <time>', 'begin of the data it was trained on, ISO-8601')
    .option('--trained-to <time>', 'end of the data it was trained on, ISO-8601')
    .option('--trainer <text>', 'who or what trained it')
    .action(action(push_))
  const check = command(
    'check <file>',
    'Says whether a push would take the model, and what would have to change',
    'freshet models check ranker.onnx --golden golden.json',
  )
    .option('--golden <file>', 'JSON of rows and the outputs that the trainer saw')
    .action(action(check_))
  const list = command(
    'list',
    'The models on the topic, and which are promoted',
    'freshet models list',
  ).action(action(list_))
  const promote = command(
    'promote <name@sha256>',
    'Lets a model rank where the option ranker is model:NAME; at least 8 digits of the sha256',
    'freshet models promote ranker@3f9a02c1',
  ).action(action(promote_))
  const rollback = command(
    'rollback <name>',
    'Promotes the model that was promoted before',
    'freshet models rollback ranker',
  ).action(action(rollback_))
  const made = command('models', 'Models that rank', 'freshet models list')
  for (const sub of [push, check, list, promote, rollback, exportModel()]) made.addCommand(sub)
  return made
}

function checked(call: Call, file: string): { bytes: Buffer; verdict: Verdict } {
  const { values, flags } = call
  const golden = typeof flags.golden === 'string' ? readGolden(flags.golden) : undefined
  const bytes = readBytes(file)
  const verdict = checkModel(bytes, {
    features: featureSet(),
    open: openRuntime(),
    maxBytes: values['models.maxBytes'],
    budgetMs: values['models.budgetMs'],
    elapsedMs: cpuMs,
    golden,
  })
  return { bytes, verdict }
}

/** CPU time and not the clock's: what else the machine does is no fault of the model. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

async function check_(call: Call, file: string): Promise<number> {
  const { verdict } = checked(call, file)
  answer(call, verdict, () => verdictText(file, verdict))
  return verdict.refusals.length === 0 ? EXIT.done : EXIT.checkFailed
}

function verdictText(file: string, verdict: Verdict): string {
  const { refusals, features, msPer1000Rows, goldenRows, sizeBytes, sha256, producer } = verdict
  const facts = [
    `${count(sizeBytes)} bytes, sha256 ${shortSha(sha256)}`,
    producer && `by ${producer}`,
    features.length > 0 && `${features.length} features`,
    Number.isFinite(msPer1000Rows) && `${msPer1000Rows.toPrecision(3)} ms for 1,000 rows`,
    goldenRows > 0 ? `golden batch of ${goldenRows}` : 'no golden batch',
  ].filter(Boolean)
  const head = refusals.length === 0 ? paint('green', 'holds') : paint('red', 'is refused')
  return [
    `${paint('bold', file)} ${head}: ${facts.join(', ')}`,
    ...refusals.map(
      ({ found, expected, mend }) =>
        `  found     ${found}\n  expected  ${expected}\n  mend      ${mend}`,
    ),
  ].join('\n')
}

async function push_(call: Call, file: string): Promise<number> {
  const name = nameOf(call.flags.name)
  const lineage = lineageOf(call)
  const { bytes, verdict } = checked(call, file)
  if (verdict.refusals.length > 0) {
    answer(call, { ...verdict, pushed: false }, () => verdictText(file, verdict))
    return EXIT.failed
  }
  const manifest: Manifest = {
    name,
    sha256: verdict.sha256,
    pushedAt: systemClock.wall(),
    chunks: Math.ceil(bytes.length / CHUNK_BYTES),
    sizeBytes: bytes.length,
    featureHash: featureSet().hash,
    lineage: {
      ...lineage,
      features: verdict.features.join(),
      producer: verdict.producer,
      msPer1000Rows: verdict.msPer1000Rows.toPrecision(3),
      goldenRows: String(verdict.goldenRows),
    },
  }
  await withModels(call, async ({ topic, encoder }) => {
    await topic.push(manifest, bytes, encoder)
    return EXIT.done
  })
  const model = `${name}@${manifest.sha256}`
  answer(call, { ...verdict, pushed: true, model }, () =>
    [
      verdictText(file, verdict),
      `pushed as ${model}; it ranks after: freshet models promote ${name}@${shortSha(manifest.sha256)}`,
    ].join('\n'),
  )
  return EXIT.done
}

function nameOf(given: unknown): string {
  const name = String(given)
  if (modelName.test(name) && !takenNames.includes(name)) return name
  throw new FreshetError(
    'CALL_INVALID',
    `--name got ${JSON.stringify(name)}; it takes 1 to 64 of a-z, 0-9, dot, dash and underscore, and not ${takenNames.join(' or ')}, which rank without a model`,
  )
}

function lineageOf({ flags }: Call): Record<string, string> {
  const lineage: Record<string, string> = {}
  for (const [field, flag] of [
    ['trainedFrom', 'trained-from'],
    ['trainedTo', 'trained-to'],
  ] as const) {
    const given = flags[field]
    if (given === undefined) continue
    lineage[field] = new Date(moment(flag, given)).toISOString()
  }
  if (lineage.trainedFrom !== undefined && lineage.trainedFrom > (lineage.trainedTo ?? '9'))
    throw new FreshetError(
      'CALL_INVALID',
      `--trained-from ${lineage.trainedFrom} is after --trained-to ${lineage.trainedTo}`,
    )
  if (typeof flags.trainer === 'string') lineage.trainer = flags.trainer
  return lineage
}

async function list_(call: Call): Promise<number> {
  return withModels(call, async ({ topic }) => {
    const shelf = await topic.read()
    const { hash } = featureSet()
    const found = shelf.manifests().map(manifest => {
      const pointer = shelf.pointer(manifest.name)
      return {
        ...manifest,
        pushedAt: new Date(manifest.pushedAt).toISOString(),
        promotedAt:
          pointer?.sha256 === manifest.sha256 ? new Date(pointer.promotedAt).toISOString() : null,
        isPrevious: pointer?.previous === manifest.sha256,
        featuresAreCurrent: manifest.featureHash === hash,
      }
    })
    answer(call, found, () =>
      found.length === 0
        ? 'no model is pushed: freshet models push FILE.onnx --name NAME'
        : table([
            ['model', 'bytes', 'ms / 1,000 rows', 'pushed', '', 'trainer'],
            ...found.map(m => [
              `${m.name}@${shortSha(m.sha256)}`,
              m.sizeBytes,
              m.lineage.msPer1000Rows ?? '',
              `${durationText(Date.now() - Date.parse(m.pushedAt))} ago`,
              [
                m.promotedAt && 'promoted',
                m.isPrevious && 'promoted before',
                !m.featuresAreCurrent && 'features changed since',
              ]
                .filter(Boolean)
                .join(', '),
              m.lineage.trainer ?? '',
            ]),
          ]),
    )
    return EXIT.done
  })
}

async function promote_(call: Call, given: string): Promise<number> {
  const match = /^([^@]+)@([0-9a-f]{8,64})$/.exec(given)
  if (!match)
    throw new FreshetError(
      'CALL_INVALID',
      `promote got ${JSON.stringify(given)}; it takes NAME@SHA256, at least 8 digits of the sha256 (\`freshet models list\` has them)`,
    )
  const [, name, prefix] = match
  return withModels(call, async opened => {
    const shelf = await opened.topic.read()
    const found = shelf.matching(name, prefix)
    if (found.length > 1)
      return notDone(`${given} is more than one: ${found.map(m => m.sha256).join(', ')}`)
    if (found.length === 0)
      return notDone(
        `there is no ${given} on the topic; of ${name} there is ${
          shelf
            .matching(name, '')
            .map(m => shortSha(m.sha256))
            .join(', ') || 'none'
        }: freshet models push FILE.onnx --name ${name}`,
      )
    const pointer = shelf.pointer(name)
    // the same one again: for workers that demoted it another chance
    const previous = pointer?.sha256 === found[0].sha256 ? pointer.previous : pointer?.sha256
    return point(call, opened, shelf, found[0], previous ?? '')
  })
}

async function rollback_(call: Call, name: string): Promise<number> {
  return withModels(call, async opened => {
    const shelf = await opened.topic.read()
    const pointer = shelf.pointer(name)
    if (pointer === undefined)
      return notDone(
        `no model ${name} is promoted; promoted are ${promotedNames(shelf).join(', ') || 'none'}`,
      )
    if (pointer.previous === '')
      return notDone(
        `${name}@${shortSha(pointer.sha256)} is promoted and none was before it: promote another, or let the blend rank with ranker=blend`,
      )
    const manifest = shelf.manifest(name, pointer.previous)
    if (manifest === undefined)
      return notDone(
        `${name}@${pointer.previous}, promoted before, is no longer on the topic: push it again`,
      )
    return point(call, opened, shelf, manifest, '')
  })
}

const promotedNames = (shelf: Shelf): string[] => [
  ...new Set(
    shelf
      .manifests()
      .map(m => m.name)
      .filter(name => shelf.pointer(name)),
  ),
]

/** Promotes a model that is whole and fits today's features. */
async function point(
  call: Call,
  { topic, encoder }: OpenedModels,
  shelf: Shelf,
  manifest: Manifest,
  previous: string,
): Promise<number> {
  const model = `${manifest.name}@${shortSha(manifest.sha256)}`
  const other = otherFeatures(manifest.lineage.features ?? '', featureSet())
  if (other) return notDone(`${model} is not promoted: ${other}`)
  const bytes = await topic.bytesOf(manifest)
  if ('missing' in bytes) return notDone(`${model} is not promoted: ${bytes.missing}`)
  const before = shelf.pointer(manifest.name)?.sha256
  await topic.promote(manifest, previous, encoder)
  const { ranker } = call.values
  const isUsed = ranker === `model:${manifest.name}`
  answer(call, { promoted: `${manifest.name}@${manifest.sha256}`, before: before ?? null }, () =>
    [
      `${model} is promoted${before && before !== manifest.sha256 ? `, ${shortSha(before)} was before` : ''}`,
      isUsed
        ? 'running workers take it over within a second'
        : `workers with ranker=model:${manifest.name} take it over within a second (here ranker is ${ranker})`,
    ].join('; '),
  )
  return EXIT.done
}

async function withModels(
  call: Call,
  work: (opened: OpenedModels) => Promise<number>,
): Promise<number> {
  const opened = await openModels(call)
  try {
    return await work(opened)
  } finally {
    await opened.close()
  }
}
