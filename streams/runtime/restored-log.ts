/**
 * What the batches of a changelog say, taken in at restore: rows go to their stores, table blocks to theirs, and the last
 * commit record tells where to go on. Nothing is passed over and nothing guessed: what a task would not have written is an
 * error with its address.
 *
 *  - C1 A commit record is the last of its batch; what stands behind the last one is an orphan.
 *  - C1 Numbers grow; those of batches that adjoin are consecutive. Where offsets lie between, compaction took the commit
 *    records that were superseded, and nothing can be said.
 *
 * That rows are as they were written is what the batch's checksum says, which every read of a changelog verifies; the
 * commit record, which decides where everything goes on, has one of its own.
 */
import { FreshetError } from '../errors.ts'
import type { RestoredRow } from '../topology/stage.ts'
import type { FetchedBatch, LogRecord } from '../transport/port.ts'
import { COMMIT_KEY, type CommitRecord, readCommitRecord } from './commit-record.ts'
import { OWNER_KEY } from './ownership-record.ts'
import { TABLE_BLOCK, type TableBlocks } from './table-blocks.ts'
import type { TaskStores } from './task-stores.ts'

const RESET = 'someone else wrote to this topic or removed from it: begin anew with `freshet reset`'

export class RestoredLog {
  private readonly stores: TaskStores
  private readonly blocks: TableBlocks
  /** Records of the batch that holds the last commit. */
  private lastBatch: readonly LogRecord[] = []
  private lastCommit: CommitRecord | undefined
  /** Where a batch must begin to follow the last commit with nothing between. */
  private adjoining = 0
  /** Where the first row or block behind the last commit record stands. */
  private orphan: string | undefined

  constructor(stores: TaskStores, blocks: TableBlocks) {
    this.stores = stores
    this.blocks = blocks
  }

  /** Takes in one batch, in log order. Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER with the address. */
  take(batch: FetchedBatch): void {
    const { records, baseOffset, nextOffset } = batch
    const whole = records.length === nextOffset - baseOffset
    const at = (offset: number): string => `${batch.topic}-${batch.partition}@${offset}`
    if (records.length > 0 && batch.producerId < 0n)
      throw corrupt(at(baseOffset), 'this batch was not written by a task (no producer id)')
    let own = 0
    let commit: CommitRecord | undefined
    for (const record of records) {
      const { key, offset } = record
      if (key === null || key.length === 0) throw corrupt(at(offset), 'a record without a key')
      if (key[0] !== 0) this.stores.restore(record, at)
      else if (key[1] === TABLE_BLOCK) this.blocks.restore(key, record.value, offset, at(offset))
      else if (key.equals(OWNER_KEY)) own++
      else if (key.equals(COMMIT_KEY)) {
        if (record.value === null) throw corrupt(at(offset), 'the commit record is removed')
        if (offset !== nextOffset - 1)
          throw corrupt(at(offset), `a commit record before the end of its batch (${nextOffset})`)
        commit = this.readCommit(record.value, baseOffset, at(offset))
      } else throw unknownRecord(record, at(offset))
    }
    if (commit) {
      this.lastCommit = commit
      this.lastBatch = records
      this.orphan = undefined
      this.adjoining = nextOffset
      return
    }
    if (records.length > own) this.orphan ??= at(baseOffset)
    const onlyOwners = whole && records.length === own
    this.adjoining = onlyOwners && this.adjoining === baseOffset ? nextOffset : -1
  }

  private readCommit(value: Buffer, baseOffset: number, where: string): CommitRecord {
    const commit = readCommitRecord(value, where)
    const last = this.lastCommit
    const lastNumber = last?.number ?? 0
    if (commit.number <= lastNumber)
      throw corrupt(where, `commit ${commit.number} follows commit ${lastNumber}`)
    if (this.adjoining === baseOffset && commit.number !== lastNumber + 1)
      throw corrupt(
        where,
        `commit ${commit.number} stands right behind commit ${lastNumber}; ${commit.number - lastNumber - 1} are missing`,
      )
    if (last !== undefined && commit.bornAt !== last.bornAt)
      throw corrupt(where, `commit ${commit.number} is of other state than commit ${lastNumber}`)
    return commit
  }

  /**
   * The last commit, undefined where there was none, and the rows of its batch.
   * Errors: CHANGELOG_CORRUPT for rows or blocks behind the last commit record.
   */
  end(): { readonly last: CommitRecord | undefined; readonly rows: readonly RestoredRow[] } {
    if (this.orphan !== undefined)
      throw corrupt(
        this.orphan,
        `rows stand behind the last commit (${this.lastCommit?.number ?? 'none'}) without a commit record of their own`,
      )
    const rows: RestoredRow[] = []
    for (const { key } of this.lastBatch)
      if (key !== null && key[0] !== 0) rows.push({ store: key[0], key: key.subarray(1) })
    this.lastBatch = []
    return { last: this.lastCommit, rows }
  }
}

const corrupt = (where: string, found: string): FreshetError =>
  new FreshetError('CHANGELOG_CORRUPT', `${where}: ${found}; ${RESET}`)

function unknownRecord({ key }: LogRecord, where: string): FreshetError {
  return new FreshetError(
    'CHANGELOG_NEWER',
    `${where}: a record of freshet's own with key ${key?.toString('hex')}, which this version does not know; run the version that wrote it, or begin anew with \`freshet reset\``,
  )
}
