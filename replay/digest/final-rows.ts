/** What stands in a task's changelog in the end: its rows, and its last commit. */
import {
  COMMIT_KEY,
  type CommitRecord,
  readCommitRecord,
} from '../../streams/runtime/commit-record.ts'
import type { FetchedBatch } from '../../streams/transport/port.ts'
import type { ExactRow } from './digest.ts'

export class FinalRows {
  commit: CommitRecord | undefined
  private readonly rows = new Map<string, Buffer>()

  /** In log order. Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER with the address of a commit record. */
  take({ records, topic, partition }: FetchedBatch): void {
    for (const { key, value, offset } of records) {
      if (key === null || key.length === 0) continue
      if (key[0] === 0) {
        if (value !== null && key.equals(COMMIT_KEY))
          this.commit = readCommitRecord(value, `${topic}-${partition}@${offset}`)
        continue
      }
      const name = key.toString('latin1')
      if (value === null) this.rows.delete(name)
      else this.rows.set(name, value)
    }
  }

  *of(kind: string, partition: number): Generator<ExactRow> {
    for (const [name, value] of this.rows) {
      const key = Buffer.from(name, 'latin1')
      yield { kind, partition, store: key[0], key: key.subarray(1), value }
    }
  }
}
