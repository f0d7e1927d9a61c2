/** Sends a simulated world's events when their time comes; event time runs `speed` times as fast as the clock. */
import type { Encoder } from '../../schemas/index.ts'
import type { Clock } from '../../streams/clock.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { OutsideRecord, Publisher } from '../../streams/transport/port.ts'
import type { SimulatedEvent } from '../simulator/world.ts'

export interface FeedSettings {
  readonly events: Iterator<SimulatedEvent, never>
  readonly encoder: Encoder
  readonly publisher: Publisher
  readonly names: TopicNames
  readonly clock: Clock
  /** Event time at the start, ms. */
  readonly startTs: number
  readonly speed: number
  /** Sees every event as it leaves. */
  readonly onEvent: (event: SimulatedEvent, now: number) => void
}

const STEP_MS = 20

export class Feed {
  sent = 0
  private readonly settings: FeedSettings
  private stopping = false

  constructor(settings: FeedSettings) {
    this.settings = settings
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    const { events, clock, startTs, speed } = this.settings
    const startedAt = clock.now()
    let { value: next } = events.next()
    while (!this.stopping) {
      const until = startTs + (clock.now() - startedAt) * speed
      const byTopic = new Map<string, OutsideRecord[]>()
      while (next.at <= until) {
        this.add(next, byTopic)
        next = events.next().value
      }
      for (const [topic, records] of byTopic) await this.settings.publisher.send(topic, records)
      await clock.sleep(STEP_MS)
    }
  }

  private add(event: SimulatedEvent, byTopic: Map<string, OutsideRecord[]>): void {
    const { encoder, names, onEvent, clock } = this.settings
    const record = {
      key: Buffer.from(event.key),
      value: event.record === null ? null : encoder.encode(event.kind, event.record as never),
    }
    const topic = names.outside(event.topic)
    const list = byTopic.get(topic)
    if (list) list.push(record)
    else byTopic.set(topic, [record])
    this.sent++
    onEvent(event, clock.now())
  }

  stop(): void {
    this.stopping = true
  }
}
