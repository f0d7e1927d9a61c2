/** Wakes who waits for news of any log. A waiter looks for itself whether the news is its own; nobody polls. */
export class WakeUp {
  private waiting = new Set<() => void>()

  wake(): void {
    if (this.waiting.size === 0) return
    const woken = this.waiting
    this.waiting = new Set()
    for (const resolve of woken) resolve()
  }

  /** Resolves at the next `wake`, or after `ms`. */
  wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        clearTimeout(timer)
        this.waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.waiting.add(done)
    })
  }
}
