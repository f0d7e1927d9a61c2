/** The digests of a replay's exact parts, as of its last checkpoint. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Digests } from '../../replay/digest/digest.ts'
import { digestOfFolder } from '../../replay/digest/digest-of.ts'
import type { ReplayFolder } from '../../replay/shadow/folder.ts'
import { parseTopologies } from '../../topologies/main.ts'
import type { Values } from '../call.ts'
import { replayValues } from './values.ts'

const ATTEMPTS = 5

/** null before the first checkpoint. `values`: those that it runs with. Errors: CHANGELOG_CORRUPT with the file. */
export function digestOf(folder: ReplayFolder, values: Values): Digests | null {
  const spec = folder.spec()
  const options = replayValues(values, spec)
  const topologies = parseTopologies(spec.topologies)
  for (let attempt = 1; ; attempt++) {
    const before = folder.checkpoint()
    try {
      return digestOfFolder(folder, { options, topologies }) ?? null
    } catch (error) {
      // one that runs may have written a log anew meanwhile
      const isGone = Object.values(before?.logs ?? {}).some(
        ({ file }) => !existsSync(join(folder.stateDir, file)),
      )
      if (!isGone || attempt === ATTEMPTS) throw error
    }
  }
}
