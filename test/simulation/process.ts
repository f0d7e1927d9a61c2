/**
 * A virtual process: everything it hears comes through the scheduler under its name, so that it can be struck at each of
 * its awaits: killed (nothing of it runs or settles again), frozen (SIGSTOP: its events are held back, then all come), or
 * cut off from brokers or sinks.
 */
import type { Clock } from '../../streams/clock.ts'
import type { Owner, Scheduled, Scheduler } from './scheduler.ts'

/** What can be unreachable on its own: logs, group coordinator, view store, table store, schema registry. */
export type Node = 'log' | 'group' | 'views' | 'tables' | 'registry'

export class VirtualProcess implements Owner {
  readonly number: number
  readonly name: string
  readonly clock: Clock
  heldUntil = 0
  /** What the machine's clock is off by. */
  skewMs = 0
  /** Tasks that the group gave to it: only these may take records in. */
  allowed = new Set<string>()
  readonly cutUntil: Partial<Record<Node, number>> = {}
  private readonly scheduler: Scheduler
  private readonly onStrike: (process: VirtualProcess) => void

  constructor(
    number: number,
    name: string,
    scheduler: Scheduler,
    onStrike: (process: VirtualProcess) => void,
  ) {
    this.number = number
    this.name = name
    this.scheduler = scheduler
    this.onStrike = onStrike
    this.clock = {
      now: () => scheduler.now,
      wall: () => scheduler.now + this.skewMs,
      sleep: (ms, signal) => this.sleep(ms, signal),
      turn: () => new Promise(resolve => this.later(0, 'turn', resolve)),
    }
  }

  get dead(): boolean {
    return this.heldUntil === Number.POSITIVE_INFINITY
  }

  get frozen(): boolean {
    return this.heldUntil > this.scheduler.now
  }

  kill(): void {
    this.heldUntil = Number.POSITIVE_INFINITY
  }

  strike(): void {
    this.onStrike(this)
  }

  cutFrom(node: Node): boolean {
    const until = this.cutUntil[node]
    return until !== undefined && until > this.scheduler.now
  }

  later(delayMs: number, label: string, work: () => void): Scheduled {
    return this.scheduler.after(delayMs, label, this, work)
  }

  cancel(event: Scheduled): void {
    this.scheduler.cancel(event)
  }

  private sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (signal?.aborted) {
        resolve()
        return
      }
      const timer = this.later(ms, 'sleep', () => {
        signal?.removeEventListener('abort', end)
        resolve()
      })
      const end = (): void => {
        this.cancel(timer)
        resolve()
      }
      signal?.addEventListener('abort', end, { once: true })
    })
  }
}
