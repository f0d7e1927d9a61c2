/**
 * Where the embedded logs stand: record batches by (log, base offset) and small documents by name. Two storages: LMDB
 * (`lmdb-storage.ts`) and memory, here.
 */
import { FreshetError } from '../../errors.ts'
import { BASE_OFFSET, readInt64 } from '../record-batch/layout.ts'

export interface StoredBatch {
  /** A log is one partition of a topic; numbers are never given twice. */
  readonly log: number
  readonly baseOffset: number
  /** null removes the batch. */
  readonly bytes: Buffer | null
}

export interface StoredDocument {
  readonly name: string
  /** JSON; null removes the document. */
  readonly value: unknown
}

export interface Storage {
  document(name: string): unknown
  /**
   * Writes all or nothing; calls become visible in the order in which they were made. Resolves when the write survives
   * the death of the process.
   */
  write(batches: readonly StoredBatch[], documents: readonly StoredDocument[]): Promise<void>
  /** The batches of a log in offset order, from the last one that begins at or before `offset`. Read it in one go. */
  scan(log: number, offset: number): Iterable<Buffer>
  close(): Promise<void>
}

interface MemoryLog {
  bases: number[]
  batches: Buffer[]
}

/** Keeps everything in memory: for tests and for runs that need not outlive the process. */
export function memoryStorage(): Storage {
  const documents = new Map<string, string>()
  const logs = new Map<number, MemoryLog>()
  let closed = false

  const place = ({ log, baseOffset, bytes }: StoredBatch): void => {
    const of = logs.get(log) ?? { bases: [], batches: [] }
    logs.set(log, of)
    const at = floorIndex(of.bases, baseOffset)
    const there = at >= 0 && of.bases[at] === baseOffset
    if (bytes === null) {
      if (!there) return
      of.bases.splice(at, 1)
      of.batches.splice(at, 1)
    } else if (there) of.batches[at] = Buffer.from(bytes)
    else {
      of.bases.splice(at + 1, 0, baseOffset)
      of.batches.splice(at + 1, 0, Buffer.from(bytes))
    }
  }

  return {
    document(name) {
      const text = documents.get(name)
      return text === undefined ? undefined : JSON.parse(text)
    },
    async write(batches, docs) {
      if (closed) throw new FreshetError('CLOSED', 'the embedded log is closed')
      for (const batch of batches) place(batch)
      for (const { name, value } of docs) {
        if (value === null) documents.delete(name)
        else documents.set(name, JSON.stringify(value))
      }
    },
    *scan(log, offset) {
      const of = logs.get(log)
      if (of === undefined) return
      const { bases, batches } = of
      for (let i = Math.max(0, floorIndex(bases, offset)); i < batches.length; i++) yield batches[i]
    },
    async close() {
      closed = true
    },
  }
}

/** Index of the last element at or below `value` in an ascending array; -1 if there is none. */
function floorIndex(ascending: readonly number[], value: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (ascending[middle] <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

export function baseOffsetOf(batch: Buffer): number {
  return readInt64(batch, BASE_OFFSET)
}
