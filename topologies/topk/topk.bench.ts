/**
 * Lists a second on one core at 20,000 items: `npx tsx topologies/topk/topk.bench.ts`. Tables are faked in memory (64
 * neighbours an item, 32-d vectors, HNSW where hnswlib-node is installed); not measured: Kafka, Redis, the commit.
 */
import { Bench } from 'tinybench'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { vectorDimension } from '../learner/rows.ts'
import { FakeItems, fakeUser } from './fakes.ts'
import { listBody } from './list.ts'
import { topkOptions } from './options.ts'
import { Recommender } from './recommend.ts'

const size = 20_000
const d = vectorDimension

async function hnsw(items: FakeItems): Promise<(query: Float32Array, n: number) => number[]> {
  const { default: library } = await import('hnswlib-node')
  const index = new library.HierarchicalNSW('ip', d)
  index.initIndex(size, 16, 100)
  index.setEf(64)
  for (let i = 0; i < size; i++) index.addPoint([...items.output.subarray(i * d, (i + 1) * d)], i)
  return (query, n) => index.searchKnn([...query], n).neighbors
}

const first = new FakeItems({ items: size, seed: 1 })
const items = new FakeItems({ items: size, seed: 1, nearest: await hnsw(first) })
const random = randomFrom(7)
const users = Array.from({ length: 1_000 }, (_, u) =>
  fakeUser(
    `u${u}`,
    Array.from({ length: 20 }, () => Math.floor(random() * size)),
  ),
)
const bench = new Bench({ time: 3_000 })
const bytes = new Map<string, number[]>()

for (const [name, flags] of [
  ['with MMR', {}],
  ['without MMR', { 'topk.mmr': '0' }],
  ['compact', { 'topk.format': 'compact' }],
] as const) {
  const options = resolveOptions(topkOptions, { flags, environment: {}, file: {} }).values
  const recommender = new Recommender(options, items)
  const { policy, model } = recommender
  const sizes: number[] = []
  bytes.set(name, sizes)
  let n = 0
  bench.add(name, () => {
    const user = users[n++ % users.length]
    recommender.prepare(user, items.countedUntil, `${user.id} ${n}`)
    const slate = recommender.draw('home', `${user.id} ${n}`)
    const at = items.countedUntil
    const head = {
      user: user.id,
      surface: 'home',
      cohort: '',
      at,
      expires: at + 6e8,
      policy,
      model,
    }
    const body = listBody(head, slate, recommender, options['topk.format'])
    if (sizes.length < 1_000) sizes.push(Buffer.byteLength(body))
  })
}
await bench.run()
console.table(
  bench.tasks.map(task => {
    const result = task.result
    const sizes = bytes.get(task.name) ?? []
    return {
      name: task.name,
      'lists/s': 'throughput' in result ? Math.round(result.throughput.mean) : 'failed',
      bytes: Math.round(sizes.reduce((a, b) => a + b, 0) / sizes.length),
    }
  }),
)
