/**
 * What the transport waits for, and how it waits: a retry loop opens a Wait, names what is missing while it fails and
 * ends it when it gets on. One log line when something goes missing, one when it is back, however many loops wait for it.
 */
import type { Clock } from '../../clock.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'

interface Missing {
  readonly since: number
  holders: number
}

export class Waits {
  private readonly missing = new Map<string, Missing>()
  private readonly clock: Clock
  private readonly log: Logger

  constructor(clock: Clock, log: Logger) {
    this.clock = clock
    this.log = log
  }

  open(): Wait {
    return new Wait(this)
  }

  /** The longest wait: "broker 127.0.0.1:9092 since 2026-01-01T12:00:03.000Z"; undefined while all is well. */
  text(): string | undefined {
    for (const [subject, { since }] of this.missing)
      return `${subject} since ${new Date(since).toISOString()}`
    return undefined
  }

  begin(subject: string, reason: string): void {
    const known = this.missing.get(subject)
    if (known) {
      known.holders++
      return
    }
    this.missing.set(subject, { since: this.clock.now(), holders: 1 })
    this.log.warn({ waitingFor: subject, reason }, 'waiting')
  }

  end(subject: string): void {
    const known = this.missing.get(subject)
    if (!known || --known.holders > 0) return
    this.missing.delete(subject)
    this.log.info(
      { waitedFor: subject, waitedMs: this.clock.now() - known.since },
      'no longer waiting',
    )
  }
}

/** One retry loop's wait. Delays double from 100 ms to 1 s. */
export class Wait {
  private readonly waits: Waits
  private subject: string | undefined
  private failures = 0

  constructor(waits: Waits) {
    this.waits = waits
  }

  /** Names what is missing and returns the ms to wait before the next try. */
  failing(subject: string, error: unknown): number {
    if (this.subject !== subject) {
      if (this.subject !== undefined) this.waits.end(this.subject)
      this.waits.begin(subject, messageOf(error))
      this.subject = subject
    }
    const delay = Math.min(1000, 100 * 2 ** Math.min(this.failures++, 4))
    return delay * (0.8 + Math.random() * 0.2)
  }

  over(): void {
    this.failures = 0
    if (this.subject === undefined) return
    this.waits.end(this.subject)
    this.subject = undefined
  }
}

/** A loop can go on: an outage, not an answer. */
export function isOutage(error: unknown): boolean {
  return error instanceof FreshetError && error.code === 'DEPENDENCY_UNREACHABLE'
}

/** Something to wait for; `fire` wakes all who wait. */
export class Signal {
  private waiters: (() => void)[] = []

  fire(): void {
    const woken = this.waiters
    this.waiters = []
    for (const wake of woken) wake()
  }

  /** Resolves at the next `fire`, at the latest after `ms`. */
  wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter(waiter => waiter !== wake)
        resolve()
      }, ms)
      this.waiters.push(wake)
    })
  }
}
