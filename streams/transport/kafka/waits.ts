/**
 * What the transport waits for, and how it waits: a retry loop opens a Wait, names what is missing while it fails and
 * ends it when it gets on. In an outage many loops wait for many things, by turns: the log gets one line when something
 * has been missing for a second, and one when nothing was for a second.
 */
import type { Clock } from '../../clock.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'

/** A leader that moves is no outage; one that comes back answers some requests before others. */
const SETTLED_MS = 1000

interface Missing {
  readonly since: number
  holders: number
}

export class Waits {
  private readonly missing = new Map<string, Missing>()
  private readonly clock: Clock
  private readonly log: Logger
  /** Since when something is missing, with less than `SETTLED_MS` of rest. */
  private since: number | undefined
  private told = false
  private rest: NodeJS.Timeout | undefined

  constructor(clock: Clock, log: Logger) {
    this.clock = clock
    this.log = log
  }

  open(): Wait {
    return new Wait(this)
  }

  /** The longest wait: "broker 127.0.0.1:9092 since 2026-01-01T12:00:03.000Z"; undefined while all is well. */
  text(): string | undefined {
    for (const [subject, { since }] of this.missing) {
      const others = this.missing.size - 1
      return `${subject} since ${new Date(since).toISOString()}${others > 0 ? `, and ${others} more` : ''}`
    }
    return undefined
  }

  begin(subject: string): void {
    const known = this.missing.get(subject)
    if (known) known.holders++
    else this.missing.set(subject, { since: this.clock.now(), holders: 1 })
    this.since ??= this.clock.now()
    clearTimeout(this.rest)
  }

  /** Another try failed. */
  failing(subject: string, reason: string): void {
    if (this.told || this.since === undefined) return
    if (this.clock.now() - this.since < SETTLED_MS) return
    this.told = true
    const since = new Date(this.since).toISOString()
    this.log.warn(
      { waitingFor: subject, since, reason },
      `waiting for Kafka, ${subject}: ${reason}`,
    )
  }

  end(subject: string): void {
    const known = this.missing.get(subject)
    if (!known || --known.holders > 0) return
    this.missing.delete(subject)
    if (this.missing.size > 0) return
    const at = this.clock.now()
    clearTimeout(this.rest)
    this.rest = setTimeout(() => this.over(at), SETTLED_MS).unref()
  }

  private over(at: number): void {
    const waitedMs = at - (this.since as number)
    if (this.told) this.log.info({ waitedMs }, `Kafka answers again after ${waitedMs / 1000} s`)
    this.since = undefined
    this.told = false
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
      this.waits.begin(subject)
      if (this.subject !== undefined) this.waits.end(this.subject)
      this.subject = subject
    }
    this.waits.failing(subject, messageOf(error))
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
