/**
 * What counting and co-visitation cost: `npx tsx topologies/popularity/counting.bench.ts`. CPU us an event of the user
 * task's stages, of the item tasks (packets in, rows out), of following the rows, and of the global task's sets.
 * 20,000 items, 5,000 users, 30% positives, 2,000 events a user commit, an item commit every 10 of those.
 * Not measured: decoding, sessions, sending.
 */

import { randomFrom } from '../../streams/serde/hash.ts'
import { ItemCluster } from '../../test/support/item-cluster.ts'

const EVENTS = 400_000
const cluster = new ItemCluster(1)
const random = randomFrom(7)
const spent = { user: 0, item: 0, global: 0 }
const cpu = (name: keyof typeof spent, work: () => void): void => {
  const from = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(from)
  spent[name] += user + system
}

let made = 0
const acts = Array.from({ length: EVENTS }, () => {
  const positive = random() < 0.3
  return {
    userId: `user-${Math.floor(random() * 5_000)}`,
    itemId: `item-${Math.floor(20_000 * random() ** 3)}`,
    ts: 1_790_000_000_000 + made++ * 5,
    kind: positive || random() < 0.3 ? ('watch' as const) : ('impression' as const),
    cohort: `c${Math.floor(random() * 8)}`,
    positive,
    started: positive,
    watchedMs: 10_000,
  }
})
for (let from = 0, commits = 0; from < EVENTS; from += 2_000) {
  const events = acts.slice(from, from + 2_000).map(act => cluster.prepare(act))
  cpu('user', () => {
    for (const event of events) cluster.process(event)
    cluster.commitUser(0)
  })
  if (++commits % 10 !== 0) continue
  cluster.now += 1_000
  cpu('item', () => cluster.commitItem(0))
  cpu('global', () => cluster.commitGlobal())
}
const log = cluster.logs[0].flatMap(batch => batch.records)
const bytes = log.reduce((sum, r) => sum + (r.key?.length ?? 0) + (r.value?.length ?? 0), 0)
const each = (us: number): string => (us / EVENTS).toFixed(2)
console.log(`user stages            ${each(spent.user)} us an event `)
console.log(`item task and follower ${each(spent.item)} us an event`)
console.log(
  `global sets            ${(spent.global / (EVENTS / 20_000) / 1000).toFixed(1)} ms a second`,
)
console.log(
  `item changelog         ${(bytes / EVENTS).toFixed(0)} bytes an event, ${log.length} rows`,
)
