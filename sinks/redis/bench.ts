/**
 * CPU of this process a session hash and a list: encoded by us against ioredis' pipeline.
 * `npx tsx sinks/redis/bench.ts redis://127.0.0.1:6379` (writes under `freshet-bench:`; give it a Redis of its own).
 */
import { Redis } from 'ioredis'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { allScripts, scripts } from './scripts.ts'
import { createRedisStore } from './store.ts'

const url = process.argv[2] ?? 'redis://127.0.0.1:6379'
const perCommit = 2000
const commits = 30

const fieldsOf = (i: number): string[] => [
  ...['session_id', `s${i}`, 'started_at', '1790000000000', 'last_event_at', '1790000001000'],
  ...['impressions', '12', 'watches', '5', 'positives', '3', 'watched_ms', '123456'],
  ...['completes', '2', 'skips', '1'],
  ...['last_items', '["i1","i2","i3","i4","i5","i6","i7","i8","i9","i10"]'],
]
const list = `${JSON.stringify({
  user: 'u1',
  items: Array.from({ length: 50 }, (_, i) => ({
    id: `item${i * 977}`,
    score: 1.23,
    p: 0.041,
    src: 'covisit',
  })),
}).slice(1)}`

async function measure(what: string, commit: (n: number) => Promise<unknown>, writes = perCommit) {
  for (let n = 0; n < 5; n++) await commit(n)
  const start = process.cpuUsage()
  for (let n = 0; n < commits; n++) await commit(n)
  const { user, system } = process.cpuUsage(start)
  process.stdout.write(
    `${what}: ${((user + system) / (commits * writes)).toFixed(1)} us CPU a write\n`,
  )
}

const store = createRedisStore({
  url,
  prefix: 'freshet-bench:',
  log: silentLogger,
  clock: systemClock,
  metrics: noMetrics,
})
const version = (n: number): string => `000001-0000000000000001-${String(n).padStart(10, '0')}`
await measure('session hash, encoded by us', n => {
  const writes: ViewWrite[] = []
  for (let i = 0; i < perCommit; i++)
    writes.push({ op: 'hash', key: `session:u${i}`, fields: fieldsOf(i), ttlMs: 5_400_000 })
  return store.write(writes, version(n))
})
await measure(
  'list of 50, encoded by us',
  n => {
    const writes: ViewWrite[] = []
    for (let i = 0; i < 500; i++)
      writes.push({ op: 'json', key: `topk:home:u:u${i}`, body: list, ttlMs: 604_800_000 })
    return store.write(writes, version(n))
  },
  500,
)
await store.close()

const redis = new Redis(url)
for (const { lua } of allScripts) await redis.script('LOAD', lua)
await measure('session hash, ioredis pipeline of EVALSHA', n => {
  const pipeline = redis.pipeline()
  for (let i = 0; i < perCommit; i++)
    pipeline.evalsha(
      scripts.write.hash.sha1,
      2,
      `freshet-bench:session:v${i}`,
      `{freshet-bench:session:v${i}}:version`,
      version(n),
      '5400000',
      ...fieldsOf(i),
    )
  return pipeline.exec()
})
redis.disconnect()
