/**
 * What decoding costs: `npx tsx schemas/decode.bench.ts`. One schema, values as a feed with a few thousand users and
 * items sends them: a list's impressions in bursts of 8, heartbeats one by one; avsc's own decode without validation beside it, for scale.
 */
import avsc from 'avsc'
import { Bench } from 'tinybench'
import { Decoder, definitions, Encoder, type RecordDrafts, SchemaRegistry } from './index.ts'

const registry = new SchemaRegistry({ url: 'mock://bench' })
const encoder = await Encoder.open(registry, 'freshet.')
const decoder = new Decoder('events', registry)

const impression = (n: number): RecordDrafts['Impression'] => ({
  eventId: `0192f8a4-1c2b-7abc-8def-${String(n).padStart(12, '0')}`,
  userId: `user-${((n >> 3) * 7919) % 5000}`,
  requestId: `req-${n >> 3}`,
  itemId: `item-${(n * 104729) % 3000}`,
  ts: 1_790_000_000_000 + n * 37,
  position: n % 20,
  slateSize: 20,
  cohort: 'de-young',
  context: { device: 'tv', hour: String(n % 24), network: 'wifi' },
  policy: 'blend-pl@3',
  modelVersion: 'abcdef123456',
  listVersion: `000001-0000000000001234-${String(n >> 3).padStart(10, '0')}`,
  listIndex: n % 20,
  candidateSource: 'covisit',
  score: 1.25,
  propensity: 0.041,
  experiments: { rank7: 'b' },
  consent: 'full',
})

const watch = (n: number): RecordDrafts['Watch'] => ({
  eventId: `0192f8a4-1c2b-7abc-8def-${String(n).padStart(12, '0')}`,
  userId: `user-${(n * 7919) % 5000}`,
  itemId: `item-${(n * 104729) % 3000}`,
  ts: 1_790_000_000_000 + n * 37,
  requestId: `req-${n >> 4}`,
  playId: `play-${n >> 3}`,
  seq: n % 8,
  watchedMs: 10_000 * (n % 8),
  durationMs: 100_000,
  cohort: 'de-young',
  context: { device: 'tv', hour: String(n % 24), network: 'wifi' },
  consent: 'full',
})

const count = 20_000
const bench = new Bench({ time: 2000 })
for (const name of ['Impression', 'Watch'] as const) {
  const values = Array.from({ length: count }, (_, n) =>
    name === 'Impression' ? encoder.encode(name, impression(n)) : encoder.encode(name, watch(n)),
  )
  const needs = decoder.decode(values[0])
  if ('needs' in needs) await decoder.resolve(needs.needs)
  const type = avsc.Type.forSchema(JSON.parse(definitions[name]))
  bench.add(`${name}: decode and check`, () => {
    for (const value of values) decoder.decode(value)
  })
  bench.add(`${name}: avsc`, () => {
    for (const value of values) type.decode(value, 5)
  })
}
await bench.run()
for (const task of bench.tasks) {
  const { result } = task
  if (result.state === 'completed')
    console.log(
      `${task.name.padEnd(30)} ${((result.latency.p50 * 1000) / count).toFixed(2)} us a record`,
    )
}
