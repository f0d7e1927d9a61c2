/** Runs a replay from where its folder stands: in this process, or in several. */

import { fileURLToPath } from 'node:url'
import type { Pacer } from '../../replay/pace/pacer.ts'
import type { ReplayFolder, ReplayState, ReplayStatus } from '../../replay/shadow/folder.ts'
import { RemotePart } from '../../replay/shadow/remote-part.ts'
import { Replay } from '../../replay/shadow/replay.ts'
import type { ReplayPart } from '../../replay/shadow/steps.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { type Surroundings, unsharedStores } from '../compose.ts'
import { openPart } from './open-part.ts'
import { optionTexts, PART_COMMAND, type PartOrder } from './part-order.ts'
import { partOf } from './values.ts'

/** The command as it is built, also where this runs from its source. */
const PROGRAM = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../../dist/bin/main.js' : '../main.js',
    import.meta.url,
  ),
)

export interface RunReplay {
  /** Processes. With one, all is done in this one. */
  readonly workers: number
  readonly pacer: Pacer
  readonly onStatus: (status: ReplayStatus) => void
  /** Is given what tells which service this process waits for, if any. */
  readonly onOpen?: (waiting: () => string | undefined) => void
  /** Aborted: a checkpoint, then it is paused. */
  readonly signal: AbortSignal
}

/**
 * Resolves to 'done' or 'paused'. One that is done already stays as it is.
 * Errors: what can't be reached or read, in a sentence; then it goes on from its last checkpoint when called again.
 */
export async function runReplay(
  around: Surroundings,
  folder: ReplayFolder,
  { workers, pacer, onStatus, onOpen, signal }: RunReplay,
): Promise<ReplayState> {
  if (folder.checkpoint()?.done) return 'done'
  if (workers > 1) refuseEmbedded(around, workers)
  // the first part is here: it knows how many tasks there are
  const here = await openPart(around, folder, 0, workers)
  const { counts } = here
  onOpen?.(() => here.waiting())
  const { name } = folder
  const dataDir = around.values['data.dir']
  const options = optionTexts(around.values)
  const others = Array.from(
    { length: workers - 1 },
    // the options travel over the pipe: passwords stand in no list of processes
    (_, i) =>
      new RemotePart(PROGRAM, [PART_COMMAND], {
        options,
        dataDir,
        name,
        index: i + 1,
        of: workers,
      } satisfies PartOrder),
  )
  const parts: ReplayPart[] = [here.part, ...others]
  try {
    return await new Replay({
      folder,
      parts,
      partOf: (kind, partition) => partOf(kind, partition, counts, workers),
      pacer,
      clock: around.clock ?? systemClock,
      onStatus,
      signal,
    }).toEnd()
  } finally {
    await here.close()
  }
}

function refuseEmbedded({ values }: Surroundings, workers: number): void {
  const embedded = unsharedStores(values)
  if (embedded.length > 0)
    throw new FreshetError(
      'CALL_INVALID',
      `--workers ${workers} needs stores that processes can share: set ${embedded.join(' and ')} to a server's, or to none`,
    )
}
