/**
 * C2, by the owner's own clock: an owner whose last acknowledged append is so many touches old writes no more and claims its
 * task anew. While it slept, or waited for a sink, brokers may have forgotten its producer id, and with it the fence that
 * would refuse it; the touches of another line of epochs don't keep this one remembered.
 */
import { FreshetError } from '../errors.ts'

const TOUCHES = 3

export class Lease {
  private readonly lastsMs: number
  private heldSince: number

  constructor(touchMs: number, now: number) {
    this.lastsMs = TOUCHES * touchMs
    this.heldSince = now
  }

  /** `where`: topic-partition of the task's log. Errors: FENCED where the lease is over. */
  check(now: number, where: string): void {
    const silentMs = now - this.heldSince
    if (silentMs > this.lastsMs)
      throw new FreshetError(
        'FENCED',
        `nothing was appended to ${where} for ${Math.round(silentMs / 1000)} s, so brokers may no longer know whose it is: the task is claimed anew`,
      )
  }

  /** An append that was sent at `at` is acknowledged. */
  renew(at: number): void {
    this.heldSince = at
  }
}
