/**
 * References set by hand, as they stand on the topic `freshet.references` (one partition, compacted): a record for each
 * subject, segment and window size, key `NAME\nSUBJECT\nSEGMENT\nSIZE`, value JSON. Every process follows the topic into one
 * book; a statistic task takes over what is new in it with a commit of its own, so that a restart, or another owner of the
 * task, has it from the changelog and not from the book (docs/decisions.md).
 *
 *  - B1 Of a subject, segment and size the reference that was set last counts, whatever the order of reading.
 *  - B2 A book that `isWhole` (a backfill's) holds all references there are: none is collected, and the raw values that tools
 *       compare with are those of the windows within each reference's own time.
 */
import { Histogram } from './histogram.ts'
import { type SeriesId, seriesKey } from './series.ts'
import { numberSubject, shardCount, sizes } from './subjects.ts'

export interface SetReference extends SeriesId {
  readonly name: string
  /** When it was set: its version, ms. */
  readonly setAt: number
  /** The time that was asked for, ms. */
  readonly from: number
  readonly to: number
  /** Windows that were summed. */
  readonly windows: number
  readonly missing: number
  /** null: numbers, in the declared bins of the subject. */
  readonly categories: readonly string[] | null
  /** Rows by shard and bin. */
  readonly shards: readonly (readonly number[])[]
}

export function referenceKey({ name, subject, segment, size }: SetReference): string {
  return [name, subject, segment, sizes[size].name].join('\n')
}

export const encodeReference = (reference: SetReference): Buffer =>
  Buffer.from(JSON.stringify(reference))

/** Errors: a sentence that says what does not fit, for the log; a record of another version of freshet may have it. */
export function decodeReference(value: Buffer): SetReference | { readonly bad: string } {
  let given: SetReference
  try {
    given = JSON.parse(value.toString()) as SetReference
  } catch {
    return { bad: 'is no JSON' }
  }
  const { subject, segment, size, categories, shards, name, setAt } = given
  if (typeof name !== 'string' || typeof subject !== 'string' || typeof segment !== 'string')
    return { bad: 'names no reference, subject and segment' }
  if (!Number.isSafeInteger(setAt) || sizes[size] === undefined)
    return { bad: 'says neither when it was set nor for which windows' }
  const bins = categories?.length ?? (numberSubject(subject)?.edges.length ?? -1) + 1
  const fits = shards?.length === shardCount && shards.every(counts => counts.length === bins)
  if (!fits) return { bad: `does not have the ${shardCount} shards of ${bins} bins of ${subject}` }
  const whole = shards.every(counts => counts.every(n => Number.isSafeInteger(n) && n >= 0))
  return whole ? given : { bad: 'has counts that are no whole numbers' }
}

/** The rows of a reference as what windows are counted in. */
export function histogramOf({ categories, shards, missing }: SetReference): Histogram {
  const histogram = categories ? Histogram.categories() : Histogram.numbers(shards[0].length)
  const bins = categories?.map(name => histogram.binOfName(name))
  shards.forEach((counts, shard) => {
    counts.forEach((count, bin) => {
      if (count > 0) histogram.add(bins ? bins[bin] : bin, shard, count)
    })
  })
  histogram.missing = missing
  return histogram
}

export class ReferenceBook {
  /** Rises with every change. */
  version = 0
  readonly isWhole: boolean
  private readonly byKey = new Map<string, SetReference>()

  constructor(isWhole = false) {
    this.isWhole = isWhole
  }

  /** Takes in a record. null: it was taken back. */
  take(key: string, reference: SetReference | null): void {
    if (reference === null) this.byKey.delete(key)
    else this.byKey.set(key, reference)
    this.version++
  }

  /** All, also those that are no longer compared with. */
  all(): SetReference[] {
    return [...this.byKey.values()]
  }

  /** B1: what each subject, segment and size is to be compared with, in an order that does not change. */
  newest(): SetReference[] {
    const newest = new Map<string, SetReference>()
    for (const reference of this.byKey.values()) {
      const key = seriesKey(reference)
      const known = newest.get(key)
      if (!known || isNewer(reference, known)) newest.set(key, reference)
    }
    return [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, reference]) => reference)
  }
}

function isNewer(a: SetReference, b: SetReference): boolean {
  return a.setAt > b.setAt || (a.setAt === b.setAt && a.name > b.name)
}
