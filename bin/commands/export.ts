/** `freshet models export`: the blend as it ranks now, or a promoted model, as an ONNX file. */
import { writeFileSync } from 'node:fs'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { shortSha } from '../../topologies/models/shelf.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { openModels } from '../models-topic.ts'
import { count } from '../terminal.ts'

export function exportModel() {
  return command(
    'export',
    'Writes the promoted model of a name as an ONNX file',
    'freshet models export --name ranker --to ranker.onnx',
  )
    .requiredOption('--to <file>', 'where to write it')
    .requiredOption('--name <name>', 'the promoted model of this name')
    .action(action(exportPromoted))
}

async function exportPromoted(call: Call): Promise<number> {
  const { name, to } = call.flags as { name: string; to: string }
  const { topic, close } = await openModels(call)
  try {
    const shelf = await topic.read()
    const pointer = shelf.pointer(name)
    const manifest = pointer && shelf.manifest(name, pointer.sha256)
    if (!manifest)
      throw new FreshetError(
        'CALL_INVALID',
        `--name got ${JSON.stringify(name)}, of which no model is promoted (\`freshet models list\`)`,
      )
    const bytes = await topic.bytesOf(manifest)
    if ('missing' in bytes) throw new FreshetError('CALL_INVALID', bytes.missing)
    write(to, bytes)
    const model = `${name}@${manifest.sha256}`
    answer(
      call,
      { file: to, model, sizeBytes: bytes.length },
      () => `${name}@${shortSha(manifest.sha256)} is in ${to}, ${count(bytes.length)} bytes`,
    )
    return EXIT.done
  } finally {
    await close()
  }
}

function write(file: string, bytes: Uint8Array): void {
  try {
    writeFileSync(file, bytes)
  } catch (error) {
    throw new FreshetError('CALL_INVALID', `--to ${file} can't be written: ${messageOf(error)}`)
  }
}
