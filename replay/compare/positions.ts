/** Where a run's tasks stand in the input topics, by their newest commit record. */
import { COMMIT_KEY, readCommitRecord } from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'
import type { FetchedBatch } from '../../streams/transport/port.ts'
import type { ReplayFolder } from '../shadow/folder.ts'

/** Next record by topic (without prefix) and partition, as `events-3`. */
export type Positions = ReadonlyMap<string, number>

export interface PositionFigures {
  readonly replay: Readonly<Record<string, number>>
  readonly with: Readonly<Record<string, number>>
  /** Records that the other run has taken in beyond the replay, and the replay beyond the other. */
  readonly behind: number
  readonly ahead: number
  /** All inputs that both name stand at the same record. */
  readonly same: boolean
}

/** A partition that only one of them names counts with nothing in the other. */
export function comparePositions(replay: Positions, other: Positions): PositionFigures {
  let behind = 0
  let ahead = 0
  for (const name of new Set([...replay.keys(), ...other.keys()])) {
    const by = (other.get(name) ?? 0) - (replay.get(name) ?? 0)
    if (by > 0) behind += by
    else ahead -= by
  }
  return {
    replay: Object.fromEntries([...replay].sort()),
    with: Object.fromEntries([...other].sort()),
    behind,
    ahead,
    same: replay.size > 0 && behind === 0 && ahead === 0,
  }
}

/** Of a replay, as of its last checkpoint. */
export function positionsOfFolder(folder: ReplayFolder): Positions {
  const found = new Map<string, number>()
  for (const task of Object.keys(folder.checkpoint()?.logs ?? {})) {
    const partition = Number(task.slice(task.lastIndexOf('-') + 1))
    let newest: ReadonlyMap<string, number> | undefined
    for (const batch of folder.batches(task)) newest = positionsIn(batch) ?? newest
    for (const [topic, position] of newest ?? [])
      if (topic !== DELTAS) found.set(`${topic}-${partition}`, position)
  }
  return found
}

function positionsIn({
  records,
  topic,
  partition,
}: FetchedBatch): ReadonlyMap<string, number> | undefined {
  const commit = records.findLast(({ key }) => key?.equals(COMMIT_KEY))
  if (!commit || commit.value === null) return undefined
  return readCommitRecord(commit.value, `${topic}-${partition}@${commit.offset}`).positions
}
