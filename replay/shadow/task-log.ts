/**
 * A task's changelog as a file: its commits' record batches one behind the other, as a broker's segment has them. It is as
 * long as the last checkpoint says: what stands behind that is cut off when it is opened.
 *
 *  - T1 Until `sync` has resolved, nothing of what was appended counts.
 *  - T2 Superseded rows go when the file has grown to several times what its rows hold: the file is then written anew under
 *       another name, and the old one stays until a checkpoint names the new one.
 *  - T3 A commit is written where it belongs and not wherever the file ends: what a process that was given up still writes
 *       late does not move what its successor writes.
 */
import {
  closeSync,
  constants,
  existsSync,
  fsync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { COMMIT_KEY } from '../../streams/runtime/commit-record.ts'
import type { FetchedBatch } from '../../streams/transport/port.ts'
import {
  decodeRecordSet,
  RecordBatchBuilder,
  type UnstampedBatch,
} from '../../streams/transport/record-batch.ts'

const fsyncAsync = promisify(fsync)

/** Every batch names a producer: one without is not a task's. */
const PRODUCER_ID = 1n
const NO_FILE = -1
const READ_BYTES = 4 << 20
/** Batches that a file written anew is made of. */
const BATCH_BYTES = 1 << 20
const COMPACT_FROM = 128 << 20
const COMPACT_RATIO = 3

/** What a checkpoint says of a task's log. */
export interface LogMark {
  readonly file: string
  readonly bytes: number
  /** Next offset. */
  readonly next: number
  /** Bytes of the file when it was last written anew. */
  readonly base: number
  /** What the task holds beside its rows (carried.ts). */
  readonly carried?: string
}

const NONE = (task: string): LogMark => ({ file: `${task}.log`, bytes: 0, next: 0, base: 0 })

export class TaskLog {
  private readonly dir: string
  private readonly task: string
  private mark: LogMark
  private fd: number
  /** Files that the last checkpoint may still name. */
  private stale: string[] = []

  private readonly compactFrom: number

  private constructor(dir: string, task: string, mark: LogMark, compactFrom: number) {
    this.dir = dir
    this.task = task
    this.mark = mark
    this.compactFrom = compactFrom
    this.fd = openSync(join(dir, mark.file), constants.O_RDWR | constants.O_CREAT)
  }

  /**
   * Opens it at a checkpoint's mark, empty without one. A file below `compactFrom` bytes is not written anew.
   * Errors: CHANGELOG_CORRUPT where the file is shorter.
   */
  static open(
    dir: string,
    task: string,
    at: LogMark | undefined,
    compactFrom = COMPACT_FROM,
  ): TaskLog {
    mkdirSync(dir, { recursive: true })
    const mark = at ?? NONE(task)
    const path = join(dir, mark.file)
    const size = existsSync(path) ? statSync(path).size : 0
    if (size < mark.bytes)
      throw new FreshetError(
        'CHANGELOG_CORRUPT',
        `${path} has ${size} bytes, the last checkpoint has ${mark.bytes}: it was cut or removed by hand; begin the replay anew`,
      )
    for (const file of readdirSync(dir))
      if (file !== mark.file && isOf(task, file)) rmSync(join(dir, file))
    if (size > mark.bytes) truncateSync(path, mark.bytes)
    return new TaskLog(dir, task, mark, compactFrom)
  }

  /** Appends a commit; the batch's stamped bytes, valid until the next call. */
  append(batch: UnstampedBatch): Buffer {
    const bytes = stampAt(batch, this.mark.next)
    const { bytes: before, next } = this.mark
    write(this.dir, this.fd, bytes, before)
    this.mark = { ...this.mark, bytes: before + bytes.length, next: next + batch.count }
    return bytes
  }

  /** All that was appended is on the disk; gives the mark for the next checkpoint. The one before it stands by now. */
  async sync(): Promise<LogMark> {
    for (const file of this.stale.splice(0)) rmSync(join(this.dir, file))
    const { bytes, base } = this.mark
    if (bytes > this.compactFrom && bytes > COMPACT_RATIO * base) this.compact()
    await fsyncAsync(this.fd)
    return this.mark
  }

  /** Its batches, in order. */
  batches(): Generator<FetchedBatch> {
    return readLog(this.dir, this.task, this.mark)
  }

  /** What is still at work on it can append no more: the number of the file may be another file's by then. */
  close(): void {
    closeSync(this.fd)
    this.fd = NO_FILE
  }

  /** Writes what stands in the end to a new file, the last commit's batch last and whole. */
  private compact(): void {
    // which record of a key stands in the end: told by its number, so that no values are held
    const standing = new Map<string, number>()
    const each = (
      take: (key: Buffer, value: Buffer | null, number: number) => void,
    ): FetchedBatch | undefined => {
      let number = 0
      let last: FetchedBatch | undefined
      for (const batch of this.batches()) {
        for (const { key, value } of last?.records ?? [])
          if (key !== null && !key.equals(COMMIT_KEY)) take(key, value, number++)
        last = batch
      }
      return last
    }
    each((key, value, number) => {
      if (value === null) standing.delete(key.toString('latin1'))
      else standing.set(key.toString('latin1'), number)
    })
    const [stem, number = '0'] = this.mark.file.replace(/\.log$/, '').split('~')
    const file = `${stem}~${Number(number) + 1}.log`
    const fd = openSync(join(this.dir, file), 'w+')
    // a commit at the very start that is not the first one would be taken for one that lost those before it
    let mark: LogMark = { file, bytes: 0, next: 1, base: 0 }
    const builder = new RecordBatchBuilder()
    const put = (): void => {
      if (builder.count === 0) return
      const batch = builder.finish(0)
      const bytes = stampAt(batch, mark.next)
      write(this.dir, fd, bytes, mark.bytes)
      mark = { ...mark, bytes: mark.bytes + bytes.length, next: mark.next + batch.count }
    }
    const last = each((key, value, number) => {
      if (standing.get(key.toString('latin1')) !== number) return
      builder.add(key, value)
      if (builder.sizeBytes > BATCH_BYTES) put()
    })
    put()
    for (const { key, value } of last?.records ?? []) builder.add(key, value)
    put()
    closeSync(this.fd)
    this.fd = fd
    this.stale.push(this.mark.file)
    this.mark = { ...mark, base: mark.bytes }
  }
}

const isOf = (task: string, file: string): boolean =>
  file === `${task}.log` || file.startsWith(`${task}~`)

function write(dir: string, fd: number, bytes: Buffer, position: number): void {
  try {
    if (fd === NO_FILE) throw new Error('it is closed')
    for (let at = 0; at < bytes.length; )
      at += writeSync(fd, bytes, at, bytes.length - at, position + at)
  } catch (error) {
    const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
    throw new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      full
        ? `the disk of ${dir} is full: make room, then \`freshet replay resume\`; it goes on from its last checkpoint`
        : `${dir} can't be written: ${messageOf(error)}`,
      error,
    )
  }
}

/** The batch's bytes with the offset it stands at, which its checksum does not cover. */
function stampAt(batch: UnstampedBatch, offset: number): Buffer {
  const bytes = batch.stamp(PRODUCER_ID, 0, 0)
  bytes.writeBigInt64BE(BigInt(offset), 0)
  return bytes
}

/**
 * The batches of a task's log up to a checkpoint's mark, for whoever looks on too; `from` an earlier mark of the same file.
 * Errors: CHANGELOG_CORRUPT with the file for bytes that are not as they were written.
 */
export function* readLog(
  dir: string,
  task: string,
  mark: LogMark,
  from: Pick<LogMark, 'bytes' | 'next'> = { bytes: 0, next: 0 },
): Generator<FetchedBatch> {
  const path = join(dir, mark.file)
  if (mark.bytes <= from.bytes) return
  const at = task.lastIndexOf('-')
  const fd = openSync(path, 'r')
  try {
    let part = Buffer.allocUnsafe(READ_BYTES)
    let [held, done, offset] = [0, from.bytes, from.next]
    while (done < mark.bytes || held > 0) {
      const want = Math.min(part.length - held, mark.bytes - done)
      const got = want === 0 ? 0 : readSync(fd, part, held, want, done)
      held += got
      done += got
      const { batches, bytesUsed } = decodeRecordSet(
        part.subarray(0, held),
        task.slice(0, at),
        Number(task.slice(at + 1)),
        offset,
        { verifyChecksum: true },
      )
      yield* batches
      offset = batches.at(-1)?.nextOffset ?? offset
      // views into the part were handed out: what is left goes into a new one
      const left = part.subarray(bytesUsed, held)
      if (bytesUsed === 0 && got === 0)
        throw new FreshetError(
          'CHANGELOG_CORRUPT',
          `${path} ends within a batch at byte ${done - held}: it was cut or changed by hand; begin the replay anew`,
        )
      const size = bytesUsed === 0 ? part.length * 2 : READ_BYTES
      const next = Buffer.allocUnsafe(Math.max(size, left.length * 2))
      left.copy(next)
      held = left.length
      part = next
    }
  } finally {
    closeSync(fd)
  }
}
