/**
 * Things to look at again once event time has passed a minute. A thing stands in one place: handing it in again moves it,
 * and what is left of it where it stood before is passed over there.
 */
export interface Dated {
  /** Kept by `Due`; begins as `notDue`. */
  dueMinute: number
}

export const notDue = -2
const ready = -1

export class Due<T extends Dated> {
  private readonly buckets = new Map<number, T[]>()
  private readonly waiting: T[] = []
  private doneTo = 0

  /** `minute` since 1970. */
  add(thing: T, minute: number): void {
    if (minute <= this.doneTo) {
      if (thing.dueMinute !== ready) this.waiting.push(thing)
      thing.dueMinute = ready
      return
    }
    if (thing.dueMinute === minute) return
    thing.dueMinute = minute
    const bucket = this.buckets.get(minute)
    if (bucket) bucket.push(thing)
    else this.buckets.set(minute, [thing])
  }

  /** Makes ready what is due up to `minute`. */
  moveTo(minute: number): void {
    if (minute <= this.doneTo) return
    // step by step where it is near, as nearly always
    if (minute - this.doneTo <= this.buckets.size)
      for (let at = this.doneTo + 1; at <= minute; at++) this.release(at)
    else for (const at of [...this.buckets.keys()]) if (at <= minute) this.release(at)
    this.doneTo = minute
  }

  /** The next thing that is ready. */
  take(): T | undefined {
    for (;;) {
      const thing = this.waiting.pop()
      if (thing === undefined) return undefined
      if (thing.dueMinute !== ready) continue
      thing.dueMinute = notDue
      return thing
    }
  }

  get isReady(): boolean {
    return this.waiting.length > 0
  }

  private release(minute: number): void {
    const bucket = this.buckets.get(minute)
    if (!bucket) return
    this.buckets.delete(minute)
    for (const thing of bucket)
      if (thing.dueMinute === minute) {
        thing.dueMinute = ready
        this.waiting.push(thing)
      }
  }
}
