/**
 * A commit record as it reads where state goes on elsewhere: in a replay, or in the topics of a live application that takes
 * a replay's state over. What is of the old place only goes; what is of the state itself stays.
 */
import type { CommitRecord } from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'

/**
 * Without the position among packets, which counts another log's offsets; packets taken in stand under ownership 0, below
 * any that comes; nothing of it is known to be shown; and without its outbox, which left where it was made, or stands beside
 * the copy (`Checkpoint.packets`).
 */
export function neutral(record: CommitRecord): CommitRecord {
  return {
    ...record,
    positions: new Map([...record.positions].filter(([topic]) => topic !== DELTAS)),
    applied: new Map([...record.applied].map(([from, last]) => [from, { ...last, token: 0 }])),
    packets: [],
    records: [],
    removedViews: [],
    shown: 0,
  }
}
