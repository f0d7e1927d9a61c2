/** The machine's clock is put ahead and back by an hour and a day while events come: nothing stops, nothing is lost. */
import { describe, expect, it } from 'vitest'
import { steadyNow } from '../../streams/clock.ts'
import { compose, Recommender } from '../support/recommender.ts'
import { type JsonEvent, START } from '../support/user-task.ts'

const composition = await compose({
  'catalog.required': 'false',
  'drift.reference.windows': '2',
  'drift.minRows': '1',
})

/** A process whose wall clock a test may put where it likes; the monotonic one goes on alone. */
class Machine {
  readonly recommender: Recommender
  private wall = START
  private monotonic = 0

  constructor() {
    const now = steadyNow(
      () => this.wall,
      () => this.monotonic,
    )
    this.recommender = new Recommender({ composition, now })
  }

  jump(ms: number): void {
    this.wall += ms
  }

  /** Time passes and everyone commits, four times a second. */
  live(ms: number): void {
    for (let left = ms; left > 0; left -= 250) {
      this.wall += 250
      this.monotonic += 250
      this.recommender.tickAll()
      this.recommender.commitAll()
    }
  }

  send(event: JsonEvent): void {
    this.recommender.arrive(event)
    this.recommender.users[0].take()
  }
}

const watch = (userId: string, itemId: string, ts: number): JsonEvent => ({
  type: 'watch',
  eventId: `${userId} ${itemId} ${ts}`,
  userId,
  itemId,
  ts,
  playId: `${userId} ${itemId}`,
  watchedMs: 60_000,
  durationMs: 100_000,
})

describe.each([
  ['an hour ahead', 3_600_000],
  ['an hour back', -3_600_000],
  ['a day ahead', 86_400_000],
  ['a day back', -86_400_000],
])('a clock that is put %s', (_, jump) => {
  it('stops no view, no list, no timer and no window, and lengthens no life', () => {
    const machine = new Machine()
    const { recommender } = machine
    const { sent } = recommender
    // others have watched, so that lists can be made
    for (let k = 0; k < 30; k++) machine.send(watch(`u${k % 6}`, `i${k}`, START + k * 1_000))
    machine.live(5_000)
    const impression = { requestId: 'r', position: 1, score: 0.5 }
    const shown = {
      type: 'impression',
      eventId: 'shown',
      userId: 'ann',
      itemId: 'i3',
      ...impression,
    }
    machine.send({ ...shown, ts: START + 60_000 })
    machine.live(500)
    machine.jump(jump)
    sent.views.length = 0
    machine.send(watch('ann', 'i5', START + 70_000))
    machine.live(5_000)
    const ofAnn = (prefix: string) =>
      sent.views.filter(view => view.key.startsWith(prefix) && view.key.endsWith('ann'))
    const session = ofAnn('session:').at(-1)
    expect(session).toMatchObject({ op: 'hash', ttlMs: 30 * 60_000 + 3_600_000 })
    expect(ofAnn('topk:home:').at(-1)).toMatchObject({ op: 'json', ttlMs: 7 * 86_400_000 })
    // another event, another list: no interval stands still
    sent.views.length = 0
    machine.send(watch('ann', 'i6', START + 80_000))
    machine.live(5_000)
    expect(ofAnn('session:')).toHaveLength(1)
    expect(ofAnn('topk:home:')).toHaveLength(1)

    // timers and windows go by event time: labels and histograms come when the events say so
    expect(label(recommender)).toBe(null)
    machine.send(watch('bob', 'i1', START + 3_600_000))
    machine.live(12_000)
    expect(label(recommender)).toBe(0)
    expect(recommender.windowCount('feature:watched_ms', START)).toBe(30)
    expect(recommender.windowCount('feature:watched_ms', START + 60_000)).toBe(2)
    machine.send(watch('bob', 'i2', START + 61_000))
    machine.live(30_000)
    expect(recommender.windowCount('feature:watched_ms', START + 60_000)).toBe(3)
    expect(recommender.users[0].core.full).toBe(false)
  })
})

function label({ sent }: Recommender): unknown {
  for (const [key, row] of sent.rows)
    if (key.startsWith('examples|') && row.item === 'i3') return row.label
  return undefined
}
