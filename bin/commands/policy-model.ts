/** The model that `freshet evaluate policy` evaluates: from the topic of pushed models, or from a file. */
import { FreshetError } from '../../streams/errors.ts'
import { featureSet } from '../../topologies/models/features.ts'
import { openRuntime } from '../../topologies/models/onnxruntime.ts'
import { type ModelRunner, openModel } from '../../topologies/models/runner.ts'
import type { Shelf } from '../../topologies/models/shelf.ts'
import type { Call } from '../call.ts'
import { readBytes } from '../model-files.ts'
import { openModels } from '../models-topic.ts'

/** Errors: CALL_INVALID where there is no such model, or it can't rank by these features. */
export async function openRunner(
  call: Call,
  { model, isFile }: { readonly model: string; readonly isFile: boolean },
): Promise<ModelRunner> {
  const bytes = isFile ? readBytes(model) : await pushed(call, model)
  const opened = openModel(bytes, featureSet(), openRuntime())
  if ('runner' in opened) return opened.runner
  const [{ found, expected }] = opened.refusals
  throw new FreshetError(
    'CALL_INVALID',
    `${model} can't rank: ${found}; ${expected}. \`freshet models check FILE\` says more`,
  )
}

async function pushed(call: Call, model: string): Promise<Uint8Array> {
  const opened = await openModels(call)
  try {
    const shelf = await opened.topic.read()
    const manifest = manifestOf(shelf, model)
    if (manifest === undefined)
      throw new FreshetError(
        'CALL_INVALID',
        `--target model:${model}: no such model is ${model.includes('@') ? 'pushed' : 'promoted'}; \`freshet models list\` shows those that are, and model:NAME@SHA256 takes one that is not promoted`,
      )
    const bytes = await opened.topic.bytesOf(manifest)
    if ('missing' in bytes) throw new FreshetError('CALL_INVALID', bytes.missing)
    return bytes
  } finally {
    await opened.close()
  }
}

function manifestOf(shelf: Shelf, model: string) {
  const [name, sha256] = model.split('@')
  if (sha256 !== undefined) {
    const found = shelf.matching(name, sha256)
    return found.length === 1 ? found[0] : undefined
  }
  const pointer = shelf.pointer(name)
  return pointer && shelf.manifest(name, pointer.sha256)
}
