/**
 * `npm run quality -- bound [--events N] [--days N] [--seed N]`: what the closed loop could give at most. Pages are served by someone who
 * knows every item, how viewers are made and how they choose, and learns each viewer's taste from the answers to these pages by
 * Bayes' rule (loop/informed.ts). By page of the viewer, since nobody is known at the first.
 */
import { parseArgs } from 'node:util'
import { createWorld, type World } from '../../bin/simulator/world.ts'
import { PageRewards } from './loop/rewards.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '200000' },
    days: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
})
const events = Number(values.events)
const START = Date.UTC(2026, 0, 5)
const PAGE = 10
const VIEWERS = 200
const HOUR_MS = 3_600_000
const POSITIVE_MS = 30_000

const pages = new Map<string, number>()
const byPage = new Map<number, { n: number; served: number; oracle: number }>()
const positions = new Map<string, number>()
const positives = new Set<string>()
let rankedAt = Number.NEGATIVE_INFINITY

const world: World = createWorld({
  seed: Number(values.seed),
  startTs: START,
  freshPages: true,
  lists: ({ userId, ts }) => {
    if (ts - rankedAt >= HOUR_MS) {
      rankedAt = ts
      rewards.rank(ts)
      live = new Set(world.truth.oracle(userId, Number.POSITIVE_INFINITY, ts).map(i => i.itemId))
    }
    const ids = rewards.informed.page(
      userId,
      PAGE,
      id => live.has(id) && !rewards.isDone(userId, id),
    )
    const before = rewards.peek()
    rewards.page(userId, ids, ts)
    const after = rewards.peek()
    const nth = Math.min(12, pages.get(userId) ?? 0)
    pages.set(userId, (pages.get(userId) ?? 0) + 1)
    const row = byPage.get(nth) ?? { n: 0, served: 0, oracle: 0 }
    row.n++
    row.served += after.served - before.served
    row.oracle += after.oracle - before.oracle
    byPage.set(nth, row)
    const items = ids.map(id => ({ id, score: 0, p: 1, src: 'other', x: false }))
    return { version: 'v', policy: 'informed', model: '', experiments: {}, items }
  },
})
const rewards = new PageRewards(
  world.truth,
  world.users.slice(0, VIEWERS).map(({ id }) => id),
)
let live = new Set<string>()

let sent = 0
for (const event of world.events({ ratePerSecond: events / (Number(values.days) * 86_400) })) {
  if (event.topic === 'items') {
    live.delete(event.key)
    continue
  }
  const { userId, itemId } = event.record
  if (event.kind === 'Impression') {
    const { position = 0, requestId } = event.record
    positions.set(`${requestId} ${itemId}`, position)
    rewards.informed.shown(userId, itemId, position)
  } else if (event.kind === 'Watch') {
    const { watchedMs, durationMs = 0, playId, endReason, requestId } = event.record
    if (endReason === 'finished') rewards.done(userId, itemId)
    const isPositive =
      endReason === 'finished' || watchedMs >= Math.min(POSITIVE_MS, durationMs / 2)
    const position = positions.get(`${requestId} ${itemId}`)
    if (isPositive && !positives.has(playId) && position !== undefined) {
      positives.add(playId)
      rewards.informed.positive(userId, itemId, position)
    }
  }
  if (++sent >= events) break
}
const all = rewards.take()
console.log(
  `${sent} events, ${all.pages} pages of ${pages.size} viewers: reward ${all.served.toFixed(3)}, oracle ${all.oracle.toFixed(3)}, best of all ${all.bestOfAll.toFixed(3)}: ${(all.served / all.oracle).toFixed(2)} of the oracle`,
)
for (const [nth, { n, served, oracle }] of [...byPage].sort((a, b) => a[0] - b[0]))
  console.log(
    `page ${nth + 1}${nth === 12 ? ' and later' : ''} of a viewer (${n}): ${(served / n).toFixed(3)}, ${(served / oracle).toFixed(2)} of the oracle`,
  )
