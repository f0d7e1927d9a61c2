/** A bottom-k sample of numbers or of names. Names stand as numbers within, in order of first sight. */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'
import { BottomK } from '../bottom-k.ts'
import type { Sample } from '../profiles/sample.ts'
import type { RawValue } from './deltas.ts'

export type Entry = readonly [hash: number, value: RawValue]

export class ValueSample {
  private readonly rows: BottomK
  private readonly names: string[] = []
  private readonly codes = new Map<string, number>()
  private named = false

  constructor(limit: number) {
    this.rows = new BottomK(limit)
  }

  get size(): number {
    return this.rows.size
  }

  /** False: the row is not among the smallest, nothing changed. */
  offer([hash, value]: Entry): boolean {
    if (typeof value === 'number') return this.rows.offer(hash, value)
    this.named = true
    let code = this.codes.get(value)
    if (code === undefined) {
      code = this.names.push(value) - 1
      this.codes.set(value, code)
    }
    return this.rows.offer(hash, code)
  }

  merge(other: ValueSample): void {
    for (const entry of other.entries()) this.offer(entry)
  }

  /** By hash. */
  entries(): Entry[] {
    const list: Entry[] = []
    this.rows.forEach((hash, value) => {
      list.push([hash, this.named ? this.names[value] : value])
    })
    return list.sort(([a], [b]) => a - b)
  }

  /** Ordered by hash, so without order. */
  values(): Sample {
    const values = this.rows.values()
    if (!this.named) return { kind: 'numbers', values }
    return { kind: 'categories', values: Array.from(values, code => this.names[code]) }
  }
}

/** named, rows, (hash, value) each. */
export function writeEntries(entries: readonly Entry[], w: ByteWriter): void {
  const named = typeof entries[0]?.[1] === 'string'
  w.u8(named ? 1 : 0).uint(entries.length)
  for (const [hash, value] of entries) {
    w.uint(hash)
    if (typeof value === 'string') w.string(value)
    else w.f64(value)
  }
}

export function readEntries(r: ByteReader): Entry[] {
  const named = r.u8() === 1
  return Array.from({ length: r.uint() }, () => [r.uint(), named ? r.string() : r.f64()] as const)
}
