/**
 * Brings a replay's state to the log, as topics that live workers restore from.
 *
 *  - U1 What an earlier attempt left is removed first: two never mix.
 *  - U2 Rows come in batches without a commit record, in as many turns as the replay runs on; the one commit record of each
 *       task closes its log. Until then a restore refuses it (C1), so a half upload is never taken for a whole one.
 *  - U3 Every task has a commit record, also one that the replay gave nothing: positions stand for all inputs, so that no
 *       task begins elsewhere than its replay ended.
 *  - U4 The runtime's own records stay behind: the outbox left with the replay, table rows are acknowledged.
 */
import type { Clock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import {
  COMMIT_KEY,
  type CommitRecord,
  readCommitRecord,
  writeCommitRecord,
} from '../../streams/runtime/commit-record.ts'
import { type TopicNames, taskName } from '../../streams/runtime/names.ts'
import { ensureInternalTopics, internalTopics } from '../../streams/runtime/topics.ts'
import { ByteWriter } from '../../streams/serde/bytes.ts'
import type { Application, TaskKind } from '../../streams/topology/stage.ts'
import type { FencedWriter, FetchedBatch, Transport } from '../../streams/transport/port.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import type { ReplayFolder } from '../shadow/folder.ts'
import { type LogMark, readLog } from '../shadow/task-log.ts'
import { neutral } from '../state-copy/neutral.ts'

const BATCH_BYTES = 1 << 20
/** Tasks under way at once: each holds the keys of its rows and two batches. */
const AT_ONCE = 4

export interface UploadSettings {
  readonly transport: Transport
  /** Of the state that it becomes. */
  readonly names: TopicNames
  readonly application: Application
  /** Number of tasks of each kind. */
  readonly counts: ReadonlyMap<string, number>
  readonly folder: ReplayFolder
  readonly writerDeadlineMs: number
  readonly clock: Clock
}

interface UploadedTask {
  readonly name: string
  readonly kind: TaskKind
  readonly partition: number
  writer: FencedWriter | undefined
  mark: LogMark | undefined
  commit: CommitRecord | undefined
  rows: number
}

export class Upload {
  private readonly settings: UploadSettings
  private readonly tasks: readonly UploadedTask[]

  constructor(settings: UploadSettings) {
    this.settings = settings
    const { application, counts } = settings
    this.tasks = application.kinds.flatMap(kind =>
      Array.from({ length: counts.get(kind.name) ?? 0 }, (_, partition) => ({
        name: taskName({ kind: kind.name, partition }),
        kind,
        partition,
        writer: undefined,
        mark: undefined,
        commit: undefined,
        rows: 0,
      })),
    )
  }

  /** Rows sent so far. */
  get rowsSent(): number {
    return this.tasks.reduce((sum, { rows }) => sum + rows, 0)
  }

  get taskNames(): string[] {
    return this.tasks.map(task => task.name)
  }

  /** Makes the topics, empty. */
  async begin(): Promise<void> {
    const { transport, application, names, counts } = this.settings
    const specs = internalTopics(application, names, counts)
    await transport.topics.remove(specs.map(spec => spec.topic))
    await ensureInternalTopics(transport.topics, specs)
    for (const task of this.tasks) {
      task.writer = task.mark = task.commit = undefined
      task.rows = 0
    }
  }

  /**
   * Sends what the replay's last checkpoint has and what was not sent yet.
   * Errors: STALLED where the log takes nothing; CHANGELOG_CORRUPT for a replay's file that is damaged.
   */
  async rows(): Promise<void> {
    const logs = this.settings.folder.checkpoint()?.logs ?? {}
    const isAnew = this.tasks.some(({ name, mark }) => mark && logs[name]?.file !== mark.file)
    // rows that went meanwhile have no tombstone in a file that was written anew
    if (isAnew) await this.begin()
    await each(this.tasks, async task => {
      const mark = logs[task.name]
      if (mark) await this.rowsOf(task, mark)
    })
  }

  private async rowsOf(task: UploadedTask, mark: LogMark): Promise<void> {
    const { folder } = this.settings
    const sent = task.mark
    const batches = (): Generator<FetchedBatch> => readLog(folder.stateDir, task.name, mark, sent)
    const newest = new Map<string, number>()
    for (const batch of batches())
      for (const { key, value, offset } of batch.records) {
        if (key === null) continue
        if (key[0] !== 0) newest.set(key.toString('latin1'), offset)
        else if (value !== null && key.equals(COMMIT_KEY))
          task.commit = readCommitRecord(value, `${folder.stateDir} ${task.name}@${offset}`)
      }
    const builder = new RecordBatchBuilder(BATCH_BYTES)
    for (const batch of batches())
      for (const { key, value, offset } of batch.records) {
        if (key === null || newest.get(key.toString('latin1')) !== offset) continue
        if (value === null && sent === undefined) continue
        builder.add(key, value)
        task.rows++
        if (builder.sizeBytes >= BATCH_BYTES) await this.send(task, builder)
      }
    if (builder.count > 0) await this.send(task, builder)
    task.mark = mark
  }

  /**
   * Closes every task's log. `positions`: where inputs stand that a task says nothing of, by topic and partition.
   * Nothing may be sent behind it.
   */
  async finish(positions: (topic: string, partition: number) => number): Promise<void> {
    await each(this.tasks, async task => {
      const record = this.closing(task, positions)
      const builder = new RecordBatchBuilder()
      const writer = new ByteWriter(4096)
      writeCommitRecord(record, writer)
      builder.add(COMMIT_KEY, writer.bytes())
      await this.send(task, builder)
    })
  }

  private closing(
    { kind, partition, commit, rows }: UploadedTask,
    positions: (topic: string, partition: number) => number,
  ): CommitRecord {
    const record = neutral(commit ?? nothing(this.settings.clock.wall()))
    const stands = new Map(record.positions)
    for (const topic of kind.inputs)
      if (!stands.has(topic)) stands.set(topic, positions(topic, partition))
    // what stands at the head of a log is its first commit
    return { ...record, number: rows === 0 ? 1 : record.number, positions: stands }
  }

  private async send(task: UploadedTask, builder: RecordBatchBuilder): Promise<void> {
    const { transport, names, clock, writerDeadlineMs } = this.settings
    task.writer ??= transport.writer({
      producerId: await transport.newProducerId(),
      epoch: 0,
      deadlineMs: writerDeadlineMs,
    })
    const at = { topic: names.changelog(task.kind.name), partition: task.partition }
    await task.writer.append(at, builder.finish(clock.wall())).catch(error => {
      if (!(error instanceof FreshetError && error.code === 'FENCED')) throw error
      throw new FreshetError(
        'FENCED',
        `${at.topic}-${at.partition}: someone else writes there; is another cutover of this replay under way?`,
        error,
      )
    })
  }
}

const nothing = (bornAt: number): CommitRecord => ({
  number: 1,
  bornAt,
  positions: new Map(),
  applied: new Map(),
  sent: new Map(),
  packets: [],
  records: [],
  removedViews: [],
  shown: 0,
  unfinishedFrom: undefined,
})

/** Some at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const one = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}
