/**
 * Posts alerts to a URL, one at a time and in order, as often as it takes.
 *
 *  - W1 An alert handed over is posted at least once while the process lives and the queue has room. What waits when the
 *       process ends is lost to the webhook, never to the topic and the table.
 *  - W2 Nothing waits for it: a receiver that is away holds up neither a task nor another sink.
 *  - W3 At most `most` wait. Beyond that the oldest go, counted and told.
 */
import type { Clock } from '../streams/clock.ts'
import { messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import type { Metrics } from '../streams/metrics.ts'

/** An alert as it is posted. Times in ms since the epoch. */
export interface PostedAlert {
  /** The same for an alert that is posted again: what doubles are dropped by. */
  readonly eventId: string
  readonly state: 'raised' | 'cleared'
  readonly rule: string
  readonly subject: string
  readonly since: number
  readonly until: number | null
  readonly value: number
  readonly threshold: number
  /** value / threshold; null where that says nothing. */
  readonly ratio: number | null
  readonly message: string
  readonly query: string
}

export interface WebhookSettings {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly most?: number
  /** First wait after a failure, doubled with each up to `longestWaitMs`. */
  readonly firstWaitMs?: number
  readonly longestWaitMs?: number
  readonly timeoutMs?: number
}

export interface WebhookState {
  readonly waiting: number
  readonly lost: number
  /** Why the one under way was not taken so far; null while all is well. */
  readonly failing: string | null
}

/** What no repetition mends: the receiver says that this body is wrong. */
const refusals: ReadonlySet<number> = new Set([400, 413, 415, 422])

export class Webhook {
  private readonly settings: WebhookSettings
  private readonly most: number
  private queue: PostedAlert[] = []
  private running: Promise<void> | undefined
  private lost = 0
  private failing: string | null = null
  private readonly closing = new AbortController()
  private readonly gauge
  private readonly posted
  private readonly refused
  private readonly dropped

  constructor(settings: WebhookSettings) {
    this.settings = settings
    this.most = settings.most ?? 1_000
    const count = (result: string) =>
      settings.metrics.counter('freshet_webhook_alerts_total', { result })
    this.gauge = settings.metrics.gauge('freshet_webhook_waiting')
    this.posted = count('posted')
    this.refused = count('refused')
    this.dropped = count('lost')
  }

  offer(alerts: readonly PostedAlert[]): void {
    this.queue.push(...alerts)
    const over = this.queue.length - this.most
    if (over > 0) this.lose(over, 'older ones make room')
    this.gauge.set(this.queue.length)
    this.start()
  }

  state(): WebhookState {
    return { waiting: this.queue.length, lost: this.lost, failing: this.failing }
  }

  /** Posts on for at most `waitMs`, without waiting out a failure. */
  async close(waitMs = 5_000): Promise<void> {
    const { clock } = this.settings
    if (this.failing === null) await Promise.race([this.drained(), clock.sleep(waitMs)])
    this.closing.abort()
    await this.running
    if (this.queue.length > 0) this.lose(this.queue.length, 'the process ends')
  }

  private async drained(): Promise<void> {
    while (this.running && this.failing === null)
      await Promise.race([this.running, this.settings.clock.sleep(20)])
  }

  private lose(count: number, why: string): void {
    this.queue.splice(0, count)
    this.lost += count
    this.dropped.add(count)
    const { log } = this.settings
    log.error(
      { count },
      `alerts are not posted to the webhook: ${why}; they stand in the topic and the table alerts`,
    )
  }

  private start(): void {
    this.running ??= this.run().finally(() => {
      this.running = undefined
    })
  }

  private async run(): Promise<void> {
    const { clock, firstWaitMs = 1_000, longestWaitMs = 60_000 } = this.settings
    let failures = 0
    while (this.queue.length > 0 && !this.closing.signal.aborted) {
      const [next] = this.queue
      const fault = await this.post(next)
      if (fault !== undefined) {
        this.fails(fault)
        const waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failures++, 16))
        await clock.sleep(waitMs, this.closing.signal)
        continue
      }
      failures = 0
      this.works()
      // it may have made room meanwhile
      if (this.queue[0] === next) this.queue.shift()
      this.gauge.set(this.queue.length)
    }
  }

  /** Undefined: done with it. */
  private async post(alert: PostedAlert): Promise<string | undefined> {
    const { url, headers, log, timeoutMs = 10_000 } = this.settings
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(alert),
        signal: AbortSignal.any([this.closing.signal, AbortSignal.timeout(timeoutMs)]),
      })
      await response.arrayBuffer()
      if (response.ok) {
        this.posted.add()
        return undefined
      }
      if (!refusals.has(response.status)) return `it answers ${response.status}`
      this.refused.add()
      log.error(
        { eventId: alert.eventId },
        `the webhook refuses an alert with ${response.status}: it is not posted again`,
      )
      return undefined
    } catch (error) {
      const { cause } = error as Error
      return cause === undefined ? messageOf(error) : messageOf(cause)
    }
  }

  private fails(why: string): void {
    if (this.failing === null && !this.closing.signal.aborted)
      this.settings.log.warn({ why }, 'the alert webhook does not take alerts: tried again')
    this.failing = why
  }

  private works(): void {
    if (this.failing !== null) this.settings.log.info({}, 'the alert webhook takes alerts again')
    this.failing = null
  }
}
