/**
 * How far event time has come over all source partitions: the slowest that still speaks. One that was never heard of is
 * waited for as long as one that fell silent.
 *
 *  - M1 `value` closes windows: a source that is silent for `idleMs` no longer holds it back. Early closes are corrected.
 *  - M2 `horizon` forgets windows: it waits for silent sources too, as long as `patienceMs` and while the caller has room,
 *       since what is forgotten cannot be corrected. It never goes back, also over restarts.
 *  - M3 Silence is what was listened to: a look counts for `lookMs` at most. A clock that jumps, a process that was held, a
 *       store that was away make nobody silent.
 */
interface Source {
  watermark: number
  /** How long nothing was heard of it, ms. */
  silentMs: number
}

const patienceMs = 300_000

export class Watermark {
  readonly sources = new Map<number, Source>()
  value = 0
  horizon = 0
  private readonly idleMs: number
  private readonly lookMs: number
  private readonly expected: () => number
  private lookedAt = -1
  /** How long those never heard of were waited for since the first word, ms; -1: nobody spoke yet. */
  private waitedMs = -1

  constructor(idleMs: number, expected: () => number) {
    this.idleMs = idleMs
    this.lookMs = Math.max(1, idleMs / 4)
    this.expected = expected
  }

  hear(source: number, watermark: number): void {
    this.waitedMs = Math.max(0, this.waitedMs)
    const known = this.sources.get(source)
    if (!known) this.sources.set(source, { watermark, silentMs: 0 })
    else {
      known.watermark = Math.max(known.watermark, watermark)
      known.silentMs = 0
    }
  }

  /**
   * Moves value and horizon on, never back. `now`: processing time, ms. `hasRoom`: windows of silent sources may be held
   * on. True where one of them moved.
   */
  advance(now: number, hasRoom: boolean): boolean {
    const passed = this.lookedAt < 0 ? 0 : Math.min(Math.max(0, now - this.lookedAt), this.lookMs)
    this.lookedAt = now
    if (this.waitedMs < 0) return false
    this.waitedMs += passed
    for (const source of this.sources.values()) source.silentMs += passed
    const { value, horizon } = this
    this.value = Math.max(value, this.slowest(this.idleMs))
    this.horizon = Math.max(
      horizon,
      hasRoom ? Math.min(this.value, this.slowest(patienceMs)) : this.value,
    )
    return this.value !== value || this.horizon !== horizon
  }

  /** Is a window that ended at `end` to be closed, `delayMs` of event time after its end? */
  passed(end: number, delayMs: number): boolean {
    return end + delayMs <= this.value
  }

  /** The slowest source of those that were silent for less than `limitMs`; where there is none, the fastest. */
  private slowest(limitMs: number): number {
    if (this.sources.size < this.expected() && this.waitedMs < limitMs) return 0
    let slowest = Number.POSITIVE_INFINITY
    let fastest = 0
    for (const { watermark, silentMs } of this.sources.values()) {
      fastest = Math.max(fastest, watermark)
      if (silentMs < limitMs) slowest = Math.min(slowest, watermark)
    }
    // all are silent: nothing holds a window open any more
    return slowest === Number.POSITIVE_INFINITY ? fastest : slowest
  }
}
