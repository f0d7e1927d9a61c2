/**
 * How far event time has come over all source partitions: the slowest that still speaks. One that was never heard of is
 * waited for as long as one that fell silent.
 */
export interface Source {
  watermark: number
  /** Processing time of its last word, ms. */
  heardAt: number
}

export class Watermark {
  readonly sources = new Map<number, Source>()
  value = 0
  private readonly idleMs: number
  private readonly expected: () => number
  private firstHeardAt = -1

  constructor(idleMs: number, expected: () => number) {
    this.idleMs = idleMs
    this.expected = expected
  }

  hear(source: number, watermark: number, now: number): void {
    if (this.firstHeardAt < 0) this.firstHeardAt = now
    const known = this.sources.get(source)
    if (!known) this.sources.set(source, { watermark, heardAt: now })
    else {
      known.watermark = Math.max(known.watermark, watermark)
      known.heardAt = now
    }
  }

  /** Moves the value on, never back; returns it. */
  advance(now: number): number {
    if (this.firstHeardAt < 0) return this.value
    if (this.sources.size < this.expected() && now - this.firstHeardAt < this.idleMs)
      return this.value
    let slowest = Number.POSITIVE_INFINITY
    let fastest = 0
    for (const { watermark, heardAt } of this.sources.values()) {
      fastest = Math.max(fastest, watermark)
      if (now - heardAt < this.idleMs) slowest = Math.min(slowest, watermark)
    }
    // all are silent: nothing holds a window open any more
    this.value = Math.max(this.value, slowest === Number.POSITIVE_INFINITY ? fastest : slowest)
    return this.value
  }
}
