/**
 * What is to be looked at in a minute of event time, or as soon as may be where that minute has passed: what has been looked at
 * by the end of a sweep depends on the time it is swept for alone, not on earlier sweeps.
 */
export class DueMinutes<T> {
  private readonly byMinute = new Map<number, T[]>()
  private sweptMinute = 0
  private isOverdue = false

  add(what: T, minute: number): void {
    const waiting = this.byMinute.get(minute)
    if (waiting) waiting.push(what)
    else this.byMinute.set(minute, [what])
    if (minute <= this.sweptMinute) this.isOverdue = true
  }

  /** Looks at most at `limit` of what is due; true where more is. `look` may add again what is due later. */
  sweep(nowMinute: number, limit: number, look: (what: T, minute: number) => void): boolean {
    if (nowMinute <= this.sweptMinute && !this.isOverdue) return false
    this.isOverdue = true
    let left = limit
    const minutes = [...this.byMinute.keys()].filter(minute => minute <= nowMinute)
    for (const minute of minutes.sort((a, b) => a - b)) {
      const waiting = this.byMinute.get(minute) ?? []
      while (waiting.length > 0 && left-- > 0) look(waiting.pop() as T, minute)
      if (waiting.length > 0) return true
      this.byMinute.delete(minute)
    }
    this.sweptMinute = Math.max(this.sweptMinute, nowMinute)
    this.isOverdue = false
    return false
  }
}
