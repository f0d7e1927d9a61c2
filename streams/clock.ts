/** Time is an argument: everything that waits or dates something takes a Clock. */
export interface Clock {
  /**
   * Milliseconds since the Unix epoch, for intervals and dates alike. Never goes back: a wall clock that is put back is
   * caught up with at half speed, so that no interval ever stands still.
   */
  now(): number
  /** What the machine's clock says, jumps and all: for what others compare with theirs, as brokers do a batch's date. */
  wall(): number
  /** Resolves after `ms` milliseconds, or once `signal` is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Lets sockets and timers have their turn. */
  turn(): Promise<void>
}

/** `now` of a Clock over a wall clock that may jump and a monotonic one that only measures. Both in ms. */
export function steadyNow(wall: () => number, monotonic: () => number): () => number {
  let last = wall()
  let putBack: { readonly last: number; readonly monotonic: number } | undefined
  return () => {
    const at = wall()
    if (at >= last) {
      putBack = undefined
      last = at
      return at
    }
    putBack ??= { last, monotonic: monotonic() }
    last = Math.max(last, Math.floor(putBack.last + (monotonic() - putBack.monotonic) / 2))
    return last
  }
}

export const systemClock: Clock = {
  now: steadyNow(Date.now, () => performance.now()),
  wall: Date.now,
  sleep: (ms, signal) =>
    new Promise(resolve => {
      if (signal?.aborted) return resolve()
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      signal?.addEventListener('abort', end, { once: true })
    }),
  turn: () => new Promise(resolve => setImmediate(resolve)),
}
