/**
 * Requests between processes and servers. A request and its answer are separate things: either can be lost, late or slow,
 * and a late request arrives although its sender has given it up, sent it again, or died.
 */
import type { Node, VirtualProcess } from './process.ts'
import type { Rng } from './rng.ts'
import type { Scheduler } from './scheduler.ts'

export interface NetworkFaults {
  /** Of a request that never arrives; as often its answer is lost instead. */
  lost: number
  /** Of a request that arrives long after its sender gave up. */
  late: number
  /** Longest way there or back, ms. */
  slowMs: number
}

/** What a server does with a request. It answers or refuses once, now or later. */
export type Serve<T> = (answer: (value: T) => void, refuse: (error: unknown) => void) => void

/** A refusal that asks to be tried again: no leader, not enough replicas. */
export const TRY_AGAIN = Symbol('try again')

const TIMEOUT_MS = 150
const RETRY_MS = 40

export class Network {
  faults: NetworkFaults = { lost: 0, late: 0, slowMs: 2 }
  /** Off: a planted fault, a deadline is looked at before a pause and not behind it. */
  looksAtDeadlines = true
  private readonly scheduler: Scheduler
  private readonly rng: Rng
  private readonly down = new Map<Node, number>()

  constructor(scheduler: Scheduler, rng: Rng) {
    this.scheduler = scheduler
    this.rng = rng
  }

  /** A server is away until then: it serves nobody. */
  takeDown(node: Node, untilMs: number): void {
    this.down.set(node, untilMs)
  }

  heal(): void {
    this.down.clear()
    this.faults = { lost: 0, late: 0, slowMs: 2 }
  }

  reachable(from: VirtualProcess, node: Node): boolean {
    return !from.cutFrom(node) && (this.down.get(node) ?? 0) <= this.scheduler.now
  }

  /** One question that changes nothing at the server: asked again until it is answered. */
  ask<T>(from: VirtualProcess, node: Node, label: string, look: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const attempt = (): void => {
        if (from.dead) return
        const { lost, slowMs } = this.faults
        const fails = this.rng.chance(lost)
        const ms = fails ? TIMEOUT_MS : this.rng.int(0, slowMs)
        from.later(ms, label, () => {
          if (fails || !this.reachable(from, node)) {
            from.later(RETRY_MS, label, attempt)
            return
          }
          let found: T
          try {
            found = look()
          } catch (error) {
            reject(error)
            return
          }
          resolve(found)
        })
      }
      attempt()
    })
  }

  /**
   * A request that changes something: sent again, as it is, until it is answered or refused, or `deadline` is over
   * (rejected with what `late` makes).
   */
  persist<T>(
    from: VirtualProcess,
    node: Node,
    label: string,
    serve: Serve<T>,
    deadline?: { atMs: number; late: () => unknown },
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const attempt = (): void => {
        // who slept between two tries must not send what is long over
        if (deadline && this.looksAtDeadlines && this.scheduler.now >= deadline.atMs) {
          reject(deadline.late())
          return
        }
        this.once(from, node, label, serve, {
          answered: resolve,
          refused: error => {
            if (error !== TRY_AGAIN) reject(error)
            else failed()
          },
          failed: () => failed(),
        })
      }
      const failed = (): void => {
        const pause = this.rng.int(RETRY_MS / 2, RETRY_MS * 2)
        if (deadline && this.scheduler.now + pause >= deadline.atMs) reject(deadline.late())
        else from.later(pause, label, attempt)
      }
      attempt()
    })
  }

  /** One try. `failed`: no answer within the time; it may have arrived, or may still. */
  once<T>(
    from: VirtualProcess,
    node: Node,
    label: string,
    serve: Serve<T>,
    then: { answered(value: T): void; refused(error: unknown): void; failed(): void },
    timeoutMs = TIMEOUT_MS,
  ): void {
    if (from.dead) return
    const { rng, scheduler, faults } = this
    const sentAt = scheduler.now
    let open = true
    const giveUp = (): void => {
      const left = Math.max(0, sentAt + timeoutMs - scheduler.now)
      from.later(left, label, () => {
        if (!open) return
        open = false
        then.failed()
      })
    }
    const answer = (settle: () => void): void => {
      if (!this.reachable(from, node) || rng.chance(faults.lost / 2)) {
        giveUp()
        return
      }
      from.later(rng.int(0, faults.slowMs), label, () => {
        if (!open) return
        open = false
        settle()
      })
    }
    const arrive = (): void => {
      // what a process sent before it died may or may not have left its machine
      if (from.dead && rng.chance(0.5)) return
      if (!this.reachable(from, node)) {
        giveUp()
        return
      }
      serve(
        value => answer(() => then.answered(value)),
        error => answer(() => then.refused(error)),
      )
    }
    if (rng.chance(faults.lost / 2) || from.cutFrom(node)) {
      giveUp()
      return
    }
    if (rng.chance(faults.late)) {
      giveUp()
      scheduler.after(rng.int(timeoutMs, 12 * timeoutMs), label, undefined, arrive)
      return
    }
    scheduler.after(rng.int(0, faults.slowMs), label, undefined, arrive)
  }
}
