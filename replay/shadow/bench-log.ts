/** The log that the bench of replays reads: visits of users who are shown a slate and play some of it, as an archive. */
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type { OutsideRecord } from '../../streams/transport/port.ts'
import { archive } from '../archive/archiver.ts'

const START = 1_790_000_000_000
const SLATE = 10
const PLAYS = 2
const HEARTBEATS = 5
const PARTITIONS = 4
/** Records that the log holds at a time; what is archived leaves it. */
const CHUNK = 200_000

/** Events a second of the log's time. */
const RATE = 20_000

let seed = 7
const random = (): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed
}
const digits = (): string => random().toString(16).padStart(8, '0')

/** Makes the archive in `dir`: `records` events of `users` users. */
export async function makeArchive(dir: string, records: number, users: number): Promise<void> {
  const registry = new SchemaRegistry({ url: 'mock://bench' })
  const encoder = await Encoder.open(registry, 'freshet.')
  const transport = createEmbeddedTransport({ memory: true })
  const topics = ['events', 'items', 'erasures'].map(name => ({
    name,
    topic: `freshet.${name}`,
    compacted: name === 'items',
  }))
  await transport.topics.create(
    topics.map(({ topic }) => ({
      topic,
      partitions: PARTITIONS,
      config: { 'retention.ms': '-1' },
    })),
  )
  const publisher = transport.publisher()
  const visits = traffic(encoder, users)
  for (let made = 0; made < records; ) {
    const batch: OutsideRecord[] = []
    while (batch.length < CHUNK && made < records) {
      const value = visits.next().value as { user: string; value: Buffer }
      const timestamp = START + Math.floor((made++ * 1000) / RATE)
      batch.push({ key: Buffer.from(value.user), value: value.value, timestamp })
      if (batch.length % 2000 === 0) {
        await publisher.send('freshet.events', batch.splice(0))
        if (made % CHUNK === 0) break
      }
    }
    if (batch.length > 0) await publisher.send('freshet.events', batch)
    await archive({
      dir,
      transport,
      topics,
      source: registry,
      codec: 'deflate',
      clock: systemClock,
      log: silentLogger,
    })
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const at = { topic: 'freshet.events', partition }
      const [{ end }] = await transport.topics.offsets([at])
      await transport.topics.trim(at, end)
    }
  }
  await publisher.close()
  await transport.close()
}

/** Many visits at once, so that a user's events lie apart as they do in life. */
function* traffic(encoder: Encoder, users: number): Generator<{ user: string; value: Buffer }> {
  const open: Generator<{ user: string; value: Buffer }>[] = []
  for (let n = 0; ; n++) {
    while (open.length < 2_000)
      open.push(
        visit(encoder, `user-${random() % users}`, () => START + Math.floor((n * 1000) / RATE)),
      )
    const i = random() % open.length
    const { done, value } = open[i].next()
    if (done) open[i] = open.pop() as (typeof open)[number]
    else yield value
  }
}

function* visit(encoder: Encoder, userId: string, now: () => number) {
  const requestId = `req-${digits()}`
  const context = { device: 'tv', hour: String(random() % 24), network: 'wifi' }
  const items = Array.from(
    { length: SLATE },
    () => `item-${Math.floor(20_000 * (random() / 2 ** 32) ** 3)}`,
  )
  const shared = (itemId: string) => ({
    eventId: `${digits()}-${digits()}-${digits()}`,
    userId,
    itemId,
    ts: now(),
    requestId,
    cohort: 'de-young',
    context,
    consent: 'full' as const,
  })
  for (const [position, itemId] of items.entries())
    yield {
      user: userId,
      value: encoder.encode('Impression', {
        ...shared(itemId),
        position,
        slateSize: SLATE,
        policy: 'blend-pl@3',
        modelVersion: 'abcdef123456',
        listVersion: `000001-0000000000001234-${digits()}`,
        listIndex: position,
        candidateSource: 'covisit',
        score: 1 / (1 + position),
        propensity: 1 / (1 + position),
      }),
    }
  for (const itemId of items.slice(0, PLAYS)) {
    const playId = `play-${digits()}`
    for (let seq = 0; seq < HEARTBEATS; seq++)
      yield {
        user: userId,
        value: encoder.encode('Watch', {
          ...shared(itemId),
          playId,
          seq,
          watchedMs: 10_000 * (seq + 1),
          durationMs: 100_000,
          endReason: seq === HEARTBEATS - 1 ? 'left' : 'none',
        }),
      }
  }
}
