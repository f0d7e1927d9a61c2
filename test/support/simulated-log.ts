/** A simulated world's records with erasures among them, as they go to the topics: late and doubled ones, all consents. */
import { createWorld, type SimulatedEvent, type WorldOptions } from '../../bin/simulator/world.ts'
import type { Encoder } from '../../schemas/index.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { OutsideRecord, Publisher } from '../../streams/transport/port.ts'

export interface SimulatedRecord {
  readonly topic: 'events' | 'items' | 'erasures'
  readonly key: string
  readonly value: Buffer | null
  /** When it is sent, ms. */
  readonly at: number
  /** An event as it is encoded. */
  readonly event?: SimulatedEvent
}

export interface SimulatedLog extends Partial<WorldOptions> {
  readonly events: number
  readonly ratePerSecond: number
  /** One erasure of a user who was there, each so many events; 0: none. */
  readonly eraseEvery?: number
}

/** In order of sending; the catalog first. */
export function simulatedRecords(encoder: Encoder, asked: SimulatedLog): SimulatedRecord[] {
  const { events, ratePerSecond, eraseEvery = 0, ...options } = asked
  const world = createWorld({ seed: 1, users: 400, items: 200, startTs: 0, ...options })
  const records: SimulatedRecord[] = []
  let sent = 0
  const seen: string[] = []
  for (const { topic, kind, key, at, record } of world.events({
    ratePerSecond,
    warmUpMs: 60_000,
  })) {
    const value = record === null ? null : encoder.encode(kind, record as never)
    if (topic !== 'events') {
      records.push({ topic, key, value, at })
      continue
    }
    records.push({
      topic,
      key,
      value,
      at,
      event: { topic, kind, key, at, record } as SimulatedEvent,
    })
    seen.push(key)
    if (++sent >= events) return records
    if (eraseEvery > 0 && sent % eraseEvery === 0) {
      const userId = seen[Math.floor(sent / 3)]
      const value = encoder.encode('Erasure', { eventId: `erase ${sent}`, userId, ts: at })
      records.push({ topic: 'erasures', key: userId, value, at })
    }
  }
  return records
}

/** Sends them, each with its own time. */
export async function sendRecords(
  publisher: Publisher,
  names: TopicNames,
  records: readonly SimulatedRecord[],
): Promise<void> {
  const byTopic = new Map<string, OutsideRecord[]>()
  for (const { topic, key, value, at } of records) {
    const list = byTopic.get(topic) ?? []
    byTopic.set(topic, list)
    list.push({ key: Buffer.from(key), value, timestamp: at })
  }
  for (const [topic, list] of byTopic)
    for (let k = 0; k < list.length; k += 500)
      await publisher.send(names.outside(topic), list.slice(k, k + 500))
}
