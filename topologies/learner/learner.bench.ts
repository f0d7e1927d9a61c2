/**
 * Cost of learning a positive, from its bytes to the moved rows: `npx tsx topologies/learner/learner.bench.ts`. 20,000 items,
 * 12 items of history. Not measured: transport and commit.
 */
import { Bench } from 'tinybench'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { learnerOptions } from './options.ts'
import { positivesChannel, writePositive } from './positive.ts'
import { learnerStage } from './topology.ts'

const items = 20_000
const perPacket = 1_000
const { values } = resolveOptions(learnerOptions, {
  flags: { 'learner.maxPerSecond': '1000000' },
  environment: {},
  file: {},
})
const stage = learnerStage(values, {
  now: () => 0,
  table: <T>(): T => ({}) as T,
  metrics: noMetrics,
})
const random = randomFrom(1)
const w = new ByteWriter()
for (let n = 0; n < perPacket; n++) {
  const ids = Array.from({ length: 13 }, () => String(Math.floor(random() * items)))
  writePositive({ user: n, ts: 1.7e12, bucket: 2, ids, count: ids.length }, w)
}
const packet = w.copy()
const bench = new Bench({ time: 3_000 }).add('1,000 positives', () => {
  stage.receive?.(positivesChannel, new ByteReader(packet))
})
await bench.run()
for (const { name, result } of bench.tasks)
  console.table([
    {
      name,
      'us a positive': 'latency' in result ? (result.latency.mean * 1000) / perPacket : 'failed',
    },
  ])
