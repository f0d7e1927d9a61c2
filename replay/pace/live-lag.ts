/**
 * The throttle: a replay waits while the live system lags. Each second the live group's committed offsets are held against
 * the ends of its input topics.
 *
 *  - L1 Held while the lag is above the bound, until it is below half of it.
 *  - L2 Where no live worker is in the group nothing is held: nobody would work the lag off.
 *  - L3 What can't be asked holds nothing, and is said once: a replay must not stand still because a figure is missing.
 *
 * Without a bound given it is what comes in SECONDS seconds at the live system's own rate, LEAST at the least: a lag in records
 * means little by itself.
 */
import type { Clock } from '../../streams/clock.ts'
import { messageOf } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import type { TopicPartition, Transport } from '../../streams/transport/port.ts'
import type { Pacer } from './pacer.ts'

const POLL_MS = 1_000
const SECONDS = 2
const LEAST = 1_000
/** Of a second's rate in the running mean. */
const NEWEST = 0.1
const WAIT_MS = 200

export interface LiveLagSettings {
  readonly transport: Pick<Transport, 'topics' | 'committed' | 'members'>
  readonly groupId: string
  /** What the live system reads. */
  readonly inputs: readonly TopicPartition[]
  /** Records; undefined: by the live rate. */
  readonly bound: number | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Told once, when live workers are seen. */
  readonly onLive?: () => void
}

export class LiveLag implements Pacer {
  private readonly settings: LiveLagSettings
  private readonly stop = new AbortController()
  private readonly polling: Promise<void>
  /** Resolves after the first look, whatever came of it. */
  readonly looked: Promise<void>
  private onLooked: () => void = () => undefined
  private isHeld = false
  private lag = 0
  private rate = 0
  private last: { readonly end: number; readonly at: number } | undefined
  private wasAsked = true
  private hasLive = false

  constructor(settings: LiveLagSettings) {
    this.settings = settings
    this.looked = new Promise(resolve => {
      this.onLooked = resolve
    })
    this.polling = this.poll()
  }

  async ready(_eventTimeMs: number, signal: AbortSignal): Promise<void> {
    while (this.isHeld && !signal.aborted) await this.settings.clock.sleep(WAIT_MS, signal)
  }

  held(): string | null {
    if (!this.isHeld) return null
    return `live lag ${this.lag.toLocaleString('en-US')} records (goes on below ${Math.floor(this.bound / 2).toLocaleString('en-US')})`
  }

  /** In records. */
  get bound(): number {
    return this.settings.bound ?? Math.max(LEAST, Math.round(SECONDS * this.rate))
  }

  async close(): Promise<void> {
    this.isHeld = false
    this.stop.abort()
    await this.polling
  }

  private async poll(): Promise<void> {
    const { clock, log } = this.settings
    const { signal } = this.stop
    while (!signal.aborted) {
      try {
        await this.look()
        this.wasAsked = true
      } catch (error) {
        this.isHeld = false
        if (this.wasAsked)
          log.warn({ error: messageOf(error) }, "the live lag can't be asked: not throttled")
        this.wasAsked = false
      }
      this.onLooked()
      await clock.sleep(POLL_MS, signal)
    }
  }

  private async look(): Promise<void> {
    const { transport, groupId, inputs, clock } = this.settings
    const members = (await transport.members?.(groupId)) ?? []
    if (members.length === 0) {
      this.isHeld = false
      return
    }
    if (!this.hasLive) this.settings.onLive?.()
    this.hasLive = true
    const committed = (await transport.committed?.(groupId, inputs)) ?? []
    const bounds = await transport.topics.offsets(inputs)
    let lag = 0
    let ends = 0
    for (const [i, { end }] of bounds.entries()) {
      ends += end
      const at = committed[i]
      if (at !== undefined) lag += Math.max(0, end - at)
    }
    const now = clock.now()
    if (this.last && now > this.last.at) {
      const rate = ((ends - this.last.end) * 1000) / (now - this.last.at)
      this.rate += NEWEST * (rate - this.rate)
    }
    this.last = { end: ends, at: now }
    this.lag = lag
    this.isHeld = lag > (this.isHeld ? this.bound / 2 : this.bound)
  }
}
