/**
 * What the batches of a changelog say, taken in at restore: rows go to their stores, table blocks to theirs, and the last
 * commit record tells where to go on.
 *
 *  - C1 rows behind the last commit record are an orphan: an error, never guessed at.
 */
import { FreshetError } from '../errors.ts'
import type { RestoredRow } from '../topology/stage.ts'
import type { FetchedBatch, LogRecord } from '../transport/port.ts'
import { COMMIT_KEY, type CommitRecord, readCommitRecord } from './commit-record.ts'
import { TABLE_BLOCK, type TableBlocks } from './table-blocks.ts'
import type { TaskStores } from './task-stores.ts'

export class RestoredLog {
  private readonly task: string
  private readonly stores: TaskStores
  private readonly blocks: TableBlocks
  private lastRows: RestoredRow[] = []
  private lastCommit: CommitRecord | undefined
  private lastCommitOffset = -1
  private orphan = -1

  constructor(task: string, stores: TaskStores, blocks: TableBlocks) {
    this.task = task
    this.stores = stores
    this.blocks = blocks
  }

  /** Takes in one batch, in log order. Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER with the address. */
  take(batch: FetchedBatch): void {
    const rows: RestoredRow[] = []
    for (const record of batch.records) {
      const where = `${batch.topic}-${batch.partition}@${record.offset}`
      if (record.key === null || record.key.length === 0)
        throw new FreshetError(
          'CHANGELOG_CORRUPT',
          `${where}: a record without a key; someone else wrote to this topic: reset the application`,
        )
      if (record.key[0] === 0) this.takeOwn(record, where, rows)
      else rows.push(this.stores.restore(record, where))
    }
    if (rows.length > 0 && this.lastCommitOffset < batch.baseOffset) this.orphan = batch.baseOffset
  }

  private takeOwn(record: LogRecord, where: string, rows: RestoredRow[]): void {
    const key = record.key as Buffer
    if (key[1] === TABLE_BLOCK) this.blocks.restore(key, record.value)
    else if (key.equals(COMMIT_KEY) && record.value) {
      const commit = readCommitRecord(record.value, where)
      if (this.lastCommit && commit.number <= this.lastCommit.number)
        throw new FreshetError(
          'CHANGELOG_CORRUPT',
          `${where}: commit ${commit.number} follows commit ${this.lastCommit.number}; two applications wrote here: reset the application`,
        )
      this.lastCommit = commit
      this.lastCommitOffset = record.offset
      this.lastRows = rows
    }
  }

  /**
   * The last commit, undefined where there was none, and the rows of its batch.
   * Errors: CHANGELOG_CORRUPT for rows behind the last commit record.
   */
  end(): { readonly last: CommitRecord | undefined; readonly rows: readonly RestoredRow[] } {
    if (this.orphan > this.lastCommitOffset)
      throw new FreshetError(
        'CHANGELOG_CORRUPT',
        `${this.task}: rows at offset ${this.orphan} stand behind the last commit (${this.lastCommitOffset}) without one of their own; reset the application`,
      )
    const rows = this.lastRows
    this.lastRows = []
    return { last: this.lastCommit, rows }
  }
}
