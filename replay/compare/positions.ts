/** Where a run's tasks stand in the input topics, by their newest commit record. */
import { COMMIT_KEY, readCommitRecord } from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'
import type { FetchedBatch, TopicPartition, Transport } from '../../streams/transport/port.ts'
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
    addTo(found, newest, partition)
  }
  return found
}

/** Of the live tasks whose changelogs these are. */
export async function positionsOfLive(
  transport: Transport,
  changelogs: readonly TopicPartition[],
): Promise<Positions> {
  const found = new Map<string, number>()
  for (const at of changelogs) addTo(found, await newestOf(transport, at), at.partition)
  return found
}

/** Looks from ever further back: the newest commit stands at the end but for an owner's record or tombstones of blocks. */
async function newestOf(
  transport: Transport,
  at: TopicPartition,
): Promise<ReadonlyMap<string, number> | undefined> {
  const [{ start, end }] = await transport.topics.offsets([at])
  for (let back = 256; ; back *= 64) {
    const from = Math.max(start, end - back)
    const newest = await newestFrom(transport, at, from, end)
    if (newest !== undefined || from === start) return newest
  }
}

async function newestFrom(
  transport: Transport,
  at: TopicPartition,
  from: number,
  end: number,
): Promise<ReadonlyMap<string, number> | undefined> {
  let newest: ReadonlyMap<string, number> | undefined
  for (let offset = from; offset < end; ) {
    const read = await transport.read(at, offset, { maxBytes: 4 << 20, maxWaitMs: 500 })
    for (const batch of read.batches) newest = positionsIn(batch) ?? newest
    if (read.nextOffset <= offset) break
    offset = read.nextOffset
  }
  return newest
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

function addTo(
  found: Map<string, number>,
  positions: ReadonlyMap<string, number> | undefined,
  partition: number,
): void {
  for (const [topic, position] of positions ?? [])
    if (topic !== DELTAS) found.set(`${topic}-${partition}`, position)
}
