/**
 * What counting and co-visitation cost: `npx tsx topologies/popularity/counting.bench.ts [feed|uniform]`. CPU us an event of
 * the user task's stages, of the item task (packets in, rows out, rows followed), and of the global task's sets. 400,000
 * events, 20,000 items, 2,000 events a user commit, an item and a global commit every 10 of those.
 *  - feed: sessions of 20 events of 20,000 active users out of 100,000, items by Zipf 1.1, 25% positives, two cohorts.
 *  - uniform: 5,000 users who never stop, flat tails, 30% positives, eight cohorts: full histories, few pairs ever twice.
 * Not measured: decoding, sessions, sending, the view store.
 */

import { randomFrom } from '../../streams/serde/hash.ts'
import { type Act, ItemCluster } from '../../test/support/item-cluster.ts'

const EVENTS = 400_000
const ITEMS = 20_000

function feed(random: () => number): () => Act {
  const cumulative = new Float64Array(ITEMS)
  let sum = 0
  for (let i = 0; i < ITEMS; i++) {
    sum += 1 / (i + 1) ** 1.1
    cumulative[i] = sum
  }
  const item = (): number => {
    const x = random() * sum
    let [low, high] = [0, ITEMS - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle] < x) low = middle + 1
      else high = middle
    }
    return low
  }
  const user = (): number => Math.floor(random() * 100_000)
  const active = Array.from({ length: 20_000 }, user)
  let made = 0
  return () => {
    const slot = Math.floor(random() * active.length)
    if (random() < 1 / 20) active[slot] = user()
    const userId = `u${String(active[slot]).padStart(7, '0')}`
    const watch = random() < 0.5
    return {
      userId,
      itemId: `i${String(item()).padStart(6, '0')}`,
      ts: 1_790_000_000_000 + made++,
      kind: watch ? 'watch' : 'impression',
      cohort: active[slot] % 2 ? 'even' : 'odd',
      positive: watch && random() < 0.5,
      started: watch,
      watchedMs: watch ? 10_000 : 0,
    }
  }
}

function uniform(random: () => number): () => Act {
  let made = 0
  return () => {
    const positive = random() < 0.3
    return {
      userId: `user-${Math.floor(random() * 5_000)}`,
      itemId: `item-${Math.floor(ITEMS * random() ** 3)}`,
      ts: 1_790_000_000_000 + made++ * 5,
      kind: positive || random() < 0.3 ? 'watch' : 'impression',
      cohort: `c${Math.floor(random() * 8)}`,
      positive,
      started: positive,
      watchedMs: 10_000,
    }
  }
}

function measure(name: string, act: () => Act): void {
  const cluster = new ItemCluster(1)
  const spent = { idle: 0, user: 0, item: 0, global: 0 }
  const cpu = (part: keyof typeof spent, work: () => void): void => {
    const from = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(from)
    spent[part] += user + system
  }
  let bytes = 0
  let rows = 0
  let half = { ...spent }
  for (let made = 0, commits = 0; made < EVENTS; made += 2_000) {
    if (made === EVENTS / 2) half = { ...spent }
    const acts = Array.from({ length: 2_000 }, act)
    const events = acts.map(made => cluster.prepare(made))
    // what is not counted tells what the task around the stages costs
    const uncounted = acts.map(made => cluster.prepare({ ...made, consent: 'none' }))
    cpu('idle', () => {
      for (const event of uncounted) cluster.process(event)
    })
    cpu('user', () => {
      for (const event of events) cluster.process(event)
      cluster.commitUser(0)
    })
    if (++commits % 10 !== 0) continue
    cluster.now += 1_000
    cpu('item', () => cluster.commitItem(0))
    cpu('global', () => cluster.commitGlobal())
    for (const { records } of cluster.logs[0].splice(0)) {
      rows += records.length
      for (const { key, value } of records) bytes += (key?.length ?? 0) + (value?.length ?? 0)
    }
    cluster.views.length = 0
  }
  const each = (us: number): string => (us / EVENTS).toFixed(2).padStart(6)
  const late = (part: keyof typeof spent): string =>
    ((spent[part] - half[part]) / (EVENTS / 2)).toFixed(2).padStart(6)
  console.log(`${name}                 whole, second half (us an event)`)
  spent.user -= spent.idle
  half.user -= half.idle
  console.log(`  user stages           ${each(spent.user)} ${late('user')}`)
  console.log(`  item task, follower   ${each(spent.item)} ${late('item')}`)
  console.log(`  global sets           ${each(spent.global)} ${late('global')}`)
  console.log(
    `  item changelog        ${(bytes / EVENTS).toFixed(0)} bytes, ${(rows / EVENTS).toFixed(2)} rows an event`,
  )
}

const wanted = process.argv[2]
if (wanted !== 'uniform') measure('feed', feed(randomFrom(7)))
if (wanted !== 'feed') measure('uniform', uniform(randomFrom(7)))
