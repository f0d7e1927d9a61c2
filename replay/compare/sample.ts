/**
 * A sample by hash: the names whose hashes are smallest. Two runs that are sampled alike choose the same names, so that a name
 * that only one of them has is seen as such.
 */
import { hash53 } from '../../streams/serde/hash.ts'

export class HashSample {
  private readonly limit: number
  private readonly hashes = new Map<string, number>()
  /** Whatever hashes above is not among the smallest. */
  private bound = Number.POSITIVE_INFINITY
  private isFull = false

  constructor(limit: number) {
    this.limit = limit
  }

  add(name: string): void {
    const hash = hashOf(name)
    if (hash > this.bound) return
    this.hashes.set(name, hash)
    if (this.hashes.size > 2 * this.limit + 16) this.cut()
  }

  /** More names were added than it holds. */
  get isPart(): boolean {
    this.cut()
    return this.isFull
  }

  names(): string[] {
    this.cut()
    return [...this.hashes.keys()]
  }

  private cut(): void {
    if (this.hashes.size <= this.limit) return
    const kept = [...this.hashes].sort((a, b) => a[1] - b[1]).slice(0, this.limit)
    this.hashes.clear()
    for (const [name, hash] of kept) this.hashes.set(name, hash)
    this.bound = kept[kept.length - 1]?.[1] ?? Number.NEGATIVE_INFINITY
    this.isFull = true
  }
}

/** The sample of both together, in the order of hashes: whether a name of it is in one or both is then known for sure. */
export function sampledOfBoth(
  one: readonly string[],
  other: readonly string[],
  limit: number,
): string[] {
  return [...new Set([...one, ...other])]
    .sort((a, b) => hashOf(a) - hashOf(b) || (a < b ? -1 : 1))
    .slice(0, limit)
}

const hashOf = (name: string): number => hash53(`compare ${name}`)
