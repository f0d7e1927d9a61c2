/**
 * Cost of learning a positive, from its bytes to the moved rows: embeddings and blend (201 rows of features). 20,000 items,
 * 64 neighbours each, 12 items of history; `npx tsx topologies/learner/learner.bench.ts`. CPU of the process, the median of
 * seven rounds. Not measured: transport, commit, the response learner (it learns from impressions).
 */
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { benchNow, benchTable } from '../topk/bench-items.ts'
import { learnerOptions } from './options.ts'
import { positivesChannel, writePositive } from './positive.ts'
import { learnerStage } from './topology.ts'

const size = 20_000
const perPacket = 1_000
const rounds = 7
const { values } = resolveOptions(learnerOptions, {
  flags: { 'learner.maxPerSecond': '1000000' },
  environment: {},
  file: {},
})
const items = benchTable(size)
const stage = learnerStage(values, {
  now: () => 0,
  table: <T>(): T => items as unknown as T,
  metrics: noMetrics,
})
const random = randomFrom(1)
/** The blend passes over targets that nobody liked yet. */
function liked(): number {
  for (;;) {
    const item = Math.floor(random() * size)
    if (items.positives(item) > 0) return item
  }
}
const w = new ByteWriter()
for (let n = 0; n < perPacket; n++) {
  const ids = Array.from({ length: 13 }, () => items.idOf(liked()))
  writePositive({ user: n, ts: benchNow, bucket: 2, ids, count: ids.length }, w)
}
const packet = w.copy()
const microseconds: number[] = []
for (let round = 0; round <= rounds; round++) {
  const before = process.cpuUsage()
  stage.receive?.(positivesChannel, new ByteReader(packet))
  const { user, system } = process.cpuUsage(before)
  if (round > 0) microseconds.push((user + system) / perPacket)
}
microseconds.sort((a, b) => a - b)
console.log(
  `${microseconds[rounds >> 1].toFixed(0)} us CPU a positive (${microseconds[0].toFixed(0)} - ${microseconds[rounds - 1].toFixed(0)})`,
)
