/**
 * Lists a second on one core: `npx tsx topologies/topk/topk.bench.ts [items]`, 20,000 without a number. The default ranker
 * (blend) with 20 items of history, 64 neighbours an item, 32-d vectors in an HNSW graph; by CPU time of the process, the
 * median of seven rounds. The item table is the real one, users are faked, with 60 impressions they did not watch; with the
 * response model in force, and without it. Not measured: Kafka, Redis, the commit.
 */
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { ServedFeatures } from '../served/features.ts'
import { ServedMemory } from '../served/memory.ts'
import { servedOptions } from '../served/options.ts'
import { benchNow, benchTable } from './bench-items.ts'
import { fakeUser } from './fakes.ts'
import { listBody } from './list.ts'
import { topkOptions } from './options.ts'
import { Recommender } from './recommend.ts'

const size = Number(process.argv[2] ?? 20_000)
const rounds = 7
const perRound = 500

const items = benchTable(size)
const random = randomFrom(7)
const some = (n: number): number[] => Array.from({ length: n }, () => Math.floor(random() * size))
const users = Array.from({ length: 1_000 }, (_, u) => {
  const user = fakeUser(`u${u}`, some(20))
  const passed = some(60)
  return { ...user, shown: { ...user.shown, unwatched: () => passed } }
})
const weights = items.blend.sets.map(() => 0.4 * (random() - 0.3))

interface Measured {
  readonly flags?: Record<string, string>
  /** Positives that the blend has learnt; at 0 the mix ranks. */
  readonly learnt?: number
  /** Strength of the response model. */
  readonly response?: number
  /** What lists were ranked by is kept for their impressions, as much as the option says. */
  readonly keeps?: boolean
}

function measure(
  name: string,
  { flags = {}, learnt = 1_000, response = 0, keeps = false }: Measured = {},
) {
  items.response.strength = response
  items.blend.learnt = learnt
  items.blend.sets.set(weights)
  const options = resolveOptions(topkOptions, { flags, environment: {}, file: {} }).values
  const recommender = new Recommender(options, items)
  const memory = new ServedMemory(servedOptions['examples.servedBytes'].default)
  const served = new ServedFeatures({ memory, now: () => benchNow, gapMs: 1, metrics: noMetrics })
  const at = benchNow
  const microseconds: number[] = []
  let bytes = 0
  let n = 0
  for (let round = 0; round <= rounds; round++) {
    const before = process.cpuUsage()
    for (let k = 0; k < perRound; k++) {
      const user = users[n++ % users.length]
      recommender.prepare(user, at, `${user.id} ${n}`)
      const slate = recommender.draw('home', `${user.id} ${n}`)
      if (keeps) {
        served.drawn(user.id, 'home', recommender.ranked, recommender.matrix)
        served.left(user.id, String(n))
        served.endCommit()
      }
      const { policy, model } = recommender
      const head = {
        user: user.id,
        surface: 'home',
        cohort: '',
        at,
        expires: at + 6e8,
        policy,
        model,
      }
      bytes += Buffer.byteLength(listBody(head, slate, recommender, options['topk.format']))
    }
    const { user, system } = process.cpuUsage(before)
    if (round > 0) microseconds.push((user + system) / perRound)
  }
  microseconds.sort((a, b) => a - b)
  const median = microseconds[rounds >> 1]
  return {
    name,
    'us CPU': Math.round(median),
    from: Math.round(microseconds[0]),
    to: Math.round(microseconds[rounds - 1]),
    'lists/s': Math.round(1e6 / median),
    bytes: Math.round(bytes / n),
  }
}

const withoutMmr = { 'topk.mmr': '0' }
console.table([
  measure('blend, MMR'),
  measure('blend, MMR, features kept', { keeps: true }),
  measure('blend, without MMR', { flags: withoutMmr }),
  measure('blend, MMR, compact', { flags: { 'topk.format': 'compact' } }),
  measure('blend and response, MMR', { response: 1 }),
  measure('blend and response, MMR, features kept', { response: 1, keeps: true }),
  measure('blend and response, without MMR', { flags: withoutMmr, response: 1 }),
  measure('mix, MMR', { learnt: 0 }),
  measure('mix, without MMR', { flags: withoutMmr, learnt: 0 }),
])
