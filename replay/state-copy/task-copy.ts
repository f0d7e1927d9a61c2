/**
 * Writes a task's changelog anew, as a replay's folder has it: the rows of kept stores as they came, and behind them the
 * last commit's record, neutral. The runtime's other records stay behind: table rows are the old place's to bring out.
 */
import {
  COMMIT_KEY,
  type CommitRecord,
  readCommitRecord,
  writeCommitRecord,
} from '../../streams/runtime/commit-record.ts'
import { ByteWriter } from '../../streams/serde/bytes.ts'
import type { FetchedBatch } from '../../streams/transport/port.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import { type LogMark, TaskLog } from '../shadow/task-log.ts'
import { neutral } from './neutral.ts'

const BATCH_BYTES = 1 << 20
/**
 * Where a copy begins: a commit that is not the first one must not stand at the log's very start, where a restore takes what
 * is before it for lost.
 */
const FIRST_OFFSET = 1

export class TaskCopy {
  /** As it stood in the old place; undefined: there was none. */
  commit: CommitRecord | undefined
  private readonly stores: ReadonlySet<number>
  private readonly log: TaskLog
  private readonly builder = new RecordBatchBuilder(BATCH_BYTES)

  constructor(stateDir: string, task: string, stores: ReadonlySet<number>) {
    this.stores = stores
    const file = `${task}.log`
    this.log = TaskLog.open(stateDir, task, { file, bytes: 0, next: FIRST_OFFSET, base: 0 })
  }

  /** In log order. Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER for a commit record that can't be read. */
  take({ records, topic, partition }: FetchedBatch): void {
    for (const { key, value, offset } of records) {
      if (key === null || key.length === 0) continue
      if (key[0] !== 0) {
        if (this.stores.has(key[0])) this.builder.add(key, value)
      } else if (value !== null && key.equals(COMMIT_KEY))
        this.commit = readCommitRecord(value, `${topic}-${partition}@${offset}`)
    }
    if (this.builder.sizeBytes >= BATCH_BYTES) this.put()
  }

  /** All was given: the mark for the checkpoint; undefined where there was no commit. */
  async end(): Promise<LogMark | undefined> {
    const { commit, builder, log } = this
    try {
      if (commit === undefined) return undefined
      const w = new ByteWriter(1024)
      writeCommitRecord(neutral(commit), w)
      builder.add(COMMIT_KEY, w.bytes())
      this.put()
      return await log.sync()
    } finally {
      log.close()
    }
  }

  private put(): void {
    if (this.builder.count > 0) this.log.append(this.builder.finish(0))
  }
}
