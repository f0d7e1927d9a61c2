/** The response learner in the whole recommender: from a logged impression to the next list. */
import { describe, expect, it } from 'vitest'
import { openLockstep } from '../replay/lockstep/lockstep.ts'
import { resolveOptions } from '../streams/options.ts'
import { hash53, randomFrom } from '../streams/serde/hash.ts'
import type { ViewWrite } from '../streams/topology/outbox.ts'
import { topologyOptions } from '../topologies/options.ts'
import { isHoldout } from '../topologies/topk/exploration.ts'

const START = Date.UTC(2026, 0, 5)
const MINUTE = 60_000
const users = 60
const items = 40
const creatorOf = (item: number) => `c${item % 4}`

interface Shown {
  readonly userId: string
  readonly item: number
  readonly position: number
  readonly liked: boolean
}

/** What users were shown and watched: the lower the position the less is looked at, and creator c0 is liked more. */
function shownItems(n: number): Shown[] {
  const random = randomFrom(3)
  return Array.from({ length: n }, () => {
    const item = Math.floor(random() * items)
    const position = Math.floor(random() * 5)
    const rate = (item % 4 === 0 ? 0.7 : 0.2) / (1 + position)
    return { userId: `u${Math.floor(random() * users)}`, item, position, liked: random() < rate }
  })
}

async function run(
  flags: Record<string, string>,
  shown: readonly Shown[],
  logs: boolean,
  embedding: (item: number) => number[] | null = () => null,
) {
  const options = resolveOptions(topologyOptions, { flags, environment: {}, file: {} }).values
  const lists = new Map<string, string>()
  const lockstep = await openLockstep({
    options,
    startAt: START,
    topologies: 'sessions,labels,popularity,covisit,learner,topk',
    onView(write: ViewWrite) {
      if (write.op === 'json' && write.key.startsWith('topk:home:u:'))
        lists.set(write.key.slice('topk:home:u:'.length), write.body)
    },
  })
  for (let item = 0; item < items; item++)
    lockstep.sendItem(
      `i${item}`,
      {
        itemId: `i${item}`,
        creatorId: creatorOf(item),
        publishedAt: START - 86_400_000,
        durationMs: 60_000,
        safety: 'ok',
        embedding: embedding(item),
      },
      START,
    )
  let ts = START
  for (const [k, { userId, item, position, liked }] of shown.entries()) {
    ts += 20_000
    const base = { userId, itemId: `i${item}`, requestId: `r${k}`, consent: 'full' }
    if (logs)
      lockstep.sendEvent({
        ...{ type: 'impression', eventId: `s${k}`, ...base, ts },
        ...{ position, score: 0, propensity: 0.25 },
      })
    if (liked)
      lockstep.sendEvent({
        ...{ type: 'watch', eventId: `w${k}`, ...base, ts: ts + 1_000 },
        ...{ playId: `p${k}`, watchedMs: 40_000, durationMs: 60_000, endReason: 'left' },
      })
  }
  // labels become final; a user who comes then gets a list made with all that was learnt
  ts += 30 * MINUTE
  const late = { type: 'watch', eventId: 'late', userId: 'u0', itemId: 'i0', ts, consent: 'full' }
  lockstep.sendEvent({ ...late, ...{ playId: 'late', watchedMs: 1_000, durationMs: 60_000 } })
  lockstep.advance(ts + 30_000)
  lockstep.settle()
  expect(lockstep.refused).toEqual([])
  return { lockstep, lists, options }
}

/**
 * Three quarters of the items are like each other, and so are the others; most users like the first kind, a few the second. User u0 was
 * shown thirty of the first and watched none, and nothing of the second.
 */
function shownToTwoKinds(n: number): Shown[] {
  const random = randomFrom(5)
  const others = Array.from({ length: n }, () => {
    const user = 1 + Math.floor(random() * (users - 1))
    const item = Math.floor(random() * items)
    const likesSecond = user % 5 === 0
    const liked = random() < (isSecond(item) === likesSecond ? 0.6 : 0.05)
    return { userId: `u${user}`, item, position: 0, liked }
  })
  const passed = Array.from({ length: 30 }, (_, k) => {
    const item = k + Math.floor(k / 3)
    return { userId: 'u0', item, position: 0, liked: false }
  })
  return [...others, ...passed]
}
const isSecond = (item: number): boolean => item % 4 === 3

describe('the response learner in the whole recommender', () => {
  it('shows something else to who passed over what most like', async () => {
    const shown = shownToTwoKinds(3_000)
    expect(shown.filter(({ userId, item }) => userId === 'u0' && isSecond(item))).toEqual([])
    const content = (item: number) => (isSecond(item) ? [0, 1, 0.1] : [1, 0, 0.1])
    // fatigue would move what was shown out of the way by itself
    const flags = { 'response.minImpressions': '500', 'topk.fatigue': 'false', 'topk.mmr': '0' }
    const topOf = async (more: Record<string, string>) => {
      const { lists } = await run({ ...flags, ...more }, shown, true, content)
      const list = JSON.parse(`{${lists.get('u0')}`) as { items: { id: string }[] }
      return list.items.slice(0, 5).filter(({ id }) => isSecond(Number(id.slice(1)))).length
    }
    expect(await topOf({})).toBeGreaterThanOrEqual(4)
    expect(await topOf({ 'response.weight': '0' })).toBeLessThanOrEqual(1)
  }, 120_000)

  it('changes nothing without logged impressions, whatever its weight', async () => {
    const shown = shownItems(400)
    const [plain, heavy] = [
      await run({ 'response.weight': '0' }, shown, false),
      await run({ 'response.weight': '1', 'response.minImpressions': '1' }, shown, false),
    ]
    expect(plain.lists.size).toBeGreaterThan(20)
    expect(heavy.lists).toEqual(plain.lists)
    expect(heavy.lockstep.items.response.strength).toBe(0)
  })

  it('learns every impression once but for those of users held out, and lists follow', async () => {
    const shown = shownItems(2_000)
    const flags = { 'response.minImpressions': '500', 'explore.holdout': '0.1' }
    const on = await run(flags, shown, true)
    const off = await run({ ...flags, 'response.weight': '0' }, shown, true)
    const { response } = on.lockstep.items
    const trained = shown.filter(({ userId }) => !isHoldout(userId, on.options))
    expect(trained.length).toBeLessThan(shown.length)
    expect(response.learnt).toBe(trained.length)
    expect(response.strength).toBe(1)
    const effect = (creator: string) => response.creators[hash53(creator, 1) % 4_096]
    for (const creator of ['c1', 'c2', 'c3'])
      expect(effect('c0') - effect(creator)).toBeGreaterThan(0.4)
    // positions 1 and 4 against position 0: a half and a fifth are looked at
    expect(response.dense[14]).toBeLessThan(-0.4)
    expect(response.dense[17]).toBeLessThan(response.dense[14] - 0.4)
    expect(on.lists.get('u0')).not.toBe(off.lists.get('u0'))
    const placesOf = (lists: Map<string, string>) => {
      const list = JSON.parse(`{${lists.get('u0')}`) as { items: { id: string }[] }
      const places = list.items.flatMap(({ id }, place) =>
        creatorOf(Number(id.slice(1))) === 'c0' ? [place] : [],
      )
      return places.reduce((sum, place) => sum + place, 0) / places.length
    }
    expect(placesOf(on.lists)).toBeLessThanOrEqual(placesOf(off.lists))
  })
})
