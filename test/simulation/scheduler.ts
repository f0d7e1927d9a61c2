/**
 * Virtual time: a heap of events, run one after the other with all promise reactions drained in between. No real time, no
 * order but the heap's: the time of an event, then a drawn number, so that what falls on one millisecond comes in any order.
 */
import type { Rng } from './rng.ts'

export interface Owner {
  readonly number: number
  /** ms until which its events are held back; Infinity: it is dead and they are dropped. */
  heldUntil: number
  /** Called before each of its events; may set `heldUntil`. */
  strike(): void
}

export interface Scheduled {
  at: number
  tie: number
  label: string
  owner: Owner | undefined
  work: (() => void) | undefined
}

export class Scheduler {
  now: number
  /** Of everything that happened: equal runs have equal hashes. */
  hash = 0x811c9dc5
  events = 0
  private readonly heap: Scheduled[] = []
  private readonly rng: Rng

  constructor(now: number, rng: Rng) {
    this.now = now
    this.rng = rng
  }

  after(delayMs: number, label: string, owner: Owner | undefined, work: () => void): Scheduled {
    const event = { at: this.now + delayMs, tie: this.rng.unit(), label, owner, work }
    this.push(event)
    return event
  }

  cancel(event: Scheduled): void {
    event.work = undefined
  }

  /** Runs until `done` says so or nothing is left. */
  run(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          if (done() || !this.step()) resolve()
          // a tick queued from a microtask comes after every microtask: all reactions are drained by then
          else queueMicrotask(next)
        } catch (error) {
          reject(error)
        }
      }
      const next = (): void => process.nextTick(turn)
      setImmediate(turn)
    })
  }

  private step(): boolean {
    for (;;) {
      const event = this.pop()
      if (event === undefined) return false
      const { work, owner } = event
      if (work === undefined) continue
      if (event.at > this.now) this.now = event.at
      if (owner !== undefined) {
        if (owner.heldUntil <= this.now) owner.strike()
        if (owner.heldUntil > this.now) {
          this.hold(event, owner.heldUntil)
          continue
        }
      }
      event.work = undefined
      this.events++
      this.mix(this.now % 0x7fffffff)
      this.mix(owner === undefined ? 0 : owner.number)
      this.mix(event.label.length * 256 + event.label.charCodeAt(0))
      work()
      return true
    }
  }

  /** Puts an event of a frozen owner off; drops one of a dead. */
  private hold(event: Scheduled, until: number): void {
    if (until === Number.POSITIVE_INFINITY) return
    event.at = until
    this.push(event)
  }

  mix(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x01000193)
  }

  private before(a: Scheduled, b: Scheduled): boolean {
    return a.at < b.at || (a.at === b.at && a.tie < b.tie)
  }

  private push(event: Scheduled): void {
    const { heap } = this
    let i = heap.length
    heap.push(event)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.before(event, heap[parent])) break
      heap[i] = heap[parent]
      i = parent
    }
    heap[i] = event
  }

  private pop(): Scheduled | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.before(heap[child + 1], heap[child])) child++
      if (!this.before(heap[child], last)) break
      heap[i] = heap[child]
      i = child
    }
    heap[i] = last
    return first
  }
}
