/**
 * Exact parts are functions of each partition's record order alone: sessions, labels, counts and histograms do not depend on
 * what the clock shows, on how fast records come, on when commits and ticks happen, or on crashes in between.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ERASURE_STORE } from '../../topologies/erasure/rows.ts'
import { USER_STORES } from '../../topologies/user/store-ids.ts'
import { compose, exactRows, Recommender } from '../support/recommender.ts'
import { DAY, GAP, HOUR, type JsonEvent, MINUTE, START } from '../support/user-task.ts'
import { countRows, histograms, newestRows, sessionViews } from './exact-parts.ts'

const composition = await compose()
/** `shown` is soft, and so is what is to be said of erasures; a row of `sessions` whose session is the newest again is not read: the user's own row has it. */
const notCompared = [USER_STORES.shown, USER_STORES.sessions, ERASURE_STORE]
const users = ['ann', 'böb', 'cy']

/** What a step does to the surroundings, which is to change nothing. */
type Around =
  | 'commit'
  | 'tick'
  | 'restart'
  | 'compacted'
  | 'item'
  | 'statistics'
  | 'hop'
  | 'leap'
  | ''

const steps = fc.array(
  fc.record({
    user: fc.nat(2),
    kind: fc.constantFrom(
      'impression',
      'impression',
      'watch',
      'watch',
      'watch',
      'feedback',
      'erase',
    ),
    item: fc.nat(4),
    play: fc.nat(3),
    wait: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 8 * MINUTE }) },
      fc.constantFrom(GAP, GAP + 1, 5 * HOUR, 26 * HOUR),
    ),
    late: fc.oneof(
      { weight: 5, arbitrary: fc.constant(0) },
      fc.integer({ min: 1, max: 3 * HOUR }),
      fc.integer({ min: 20 * HOUR, max: 28 * HOUR }),
    ),
    ahead: fc.oneof(
      { weight: 9, arbitrary: fc.constant(0) },
      fc.constantFrom(4 * MINUTE, 6 * MINUTE, 400 * DAY),
    ),
    watched: fc.constantFrom(0, 1500, 20_000, 31_000, 80_000),
    duration: fc.constantFrom(0, 8000, 60_000),
    seq: fc.nat(4),
    end: fc.constantFrom('none', 'none', 'none', 'finished', 'skipped', 'left'),
    request: fc.constantFrom('', 'r1', 'r2'),
    surface: fc.constantFrom('home', 'home', 'shorts'),
    id: fc.constantFrom('new', 'new', 'new', 'new', 'again', 'reused'),
    consent: fc.constantFrom('full', 'full', 'full', 'full', 'full', 'none'),
    around: fc.constantFrom<Around>(
      '',
      '',
      '',
      'commit',
      'commit',
      'tick',
      'item',
      'statistics',
      'hop',
      'leap',
      'restart',
      'compacted',
    ),
  }),
  { minLength: 5, maxLength: 70, size: 'max' },
)

type Step = ReturnType<typeof arrivalsOf>[number]
type Draft =
  typeof steps extends fc.Arbitrary<infer T> ? (T extends (infer E)[] ? E : never) : never

/** The records as they stand in the log. */
function arrivalsOf(drafts: readonly Draft[]) {
  let now = START
  const sent: JsonEvent[] = []
  return drafts.map((draft, k) => {
    now += draft.wait
    const event: JsonEvent = {
      type: draft.kind,
      eventId: draft.id === 'reused' ? `e${k % 3}` : `e${k}`,
      userId: users[draft.user],
      itemId: `i${draft.kind === 'watch' ? draft.play : draft.item}`,
      ts: now - draft.late + draft.ahead,
      surface: draft.surface,
      context: { device: `d${draft.item}` },
      consent: draft.consent,
      ...(draft.kind === 'impression'
        ? { requestId: draft.request, position: draft.item, score: draft.watched / 1000 }
        : {}),
      ...(draft.kind === 'feedback' ? { kind: 'hide' } : {}),
      ...(draft.kind === 'watch'
        ? {
            playId: `${draft.user}-${draft.play}`,
            requestId: draft.request || null,
            watchedMs: draft.watched,
            durationMs: draft.duration,
            seq: draft.seq,
            endReason: draft.end,
          }
        : {}),
    }
    const again = draft.id === 'again' && sent.length > 0 ? sent[k % sent.length] : event
    sent.push(again)
    return { draft, event: again, recordTs: now, at: now }
  })
}

/** A run of the same records in some surroundings. */
class Run {
  now: number
  readonly recommender: Recommender

  constructor(now: number) {
    this.now = now
    this.recommender = new Recommender({ composition, now: () => this.now })
  }

  arrive({ draft, event, recordTs }: Step): void {
    if (draft.kind === 'erase') this.recommender.arriveErasure(event.userId, recordTs)
    else this.recommender.arrive(event, recordTs)
    this.recommender.users[0].take()
  }

  around(what: Around): void {
    const { recommender } = this
    if (what === 'commit') recommender.commitUser(0)
    else if (what === 'tick') recommender.tickAll()
    else if (what === 'item') recommender.commitItem(0)
    else if (what === 'statistics') recommender.commitStatistics()
    else if (what === 'hop') this.now += 11_000
    else if (what === 'leap') this.now += DAY
    else if (what !== '') {
      recommender.restart(what === 'compacted')
      recommender.users[0].take()
    }
  }

  /** Lets out the views that are held back. */
  showSessions(): void {
    for (let k = 0; k < 2; k++) {
      this.recommender.commitUser(0)
      this.now += 1_000
    }
  }

  /** Lets out all that is due, and drops all that has expired. */
  settle(at: number): void {
    const { recommender } = this
    for (const ts of [at, at + 30 * DAY]) {
      recommender.arrive({
        type: 'feedback',
        kind: 'click',
        eventId: `z${ts}`,
        userId: 'z',
        itemId: 'z',
        ts,
      })
      recommender.users[0].take()
      recommender.tickAll()
      recommender.commitAll()
      this.now += 2 * HOUR
      recommender.commitStatistics()
    }
    recommender.tickAll()
    recommender.commitAll()
  }

  exact() {
    const { recommender } = this
    return {
      facts: [...recommender.facts].sort(),
      user: exactRows(recommender.users[0], notCompared),
      counts: countRows(recommender.items[0]),
      examples: newestRows(recommender, 'examples'),
      histograms: histograms(recommender),
    }
  }
}

describe('exact parts', () => {
  it('are the same whatever the clock, the speed, the commits, the ticks and the crashes', () => {
    fc.assert(
      fc.property(steps, drafts => {
        const arrivals = arrivalsOf(drafts)
        const lazy = new Run(START)
        const eager = new Run(START + 4000 * DAY)
        const wild = new Run(START + 10 * DAY)
        for (const step of arrivals) {
          for (const run of [lazy, eager, wild]) run.arrive(step)
          eager.now = START + 4000 * DAY + (step.at - START)
          for (const what of ['tick', 'commit', 'item', 'statistics'] as const) eager.around(what)
          wild.around(step.draft.around)
        }
        for (const run of [lazy, eager, wild]) run.showSessions()
        const sessions = sessionViews(lazy.recommender)
        expect(sessionViews(eager.recommender)).toEqual(sessions)
        expect(sessionViews(wild.recommender)).toEqual(sessions)
        const end = Math.max(START, ...arrivals.map(({ at }) => at)) + 401 * DAY
        for (const run of [lazy, eager, wild]) run.settle(end)
        const expected = lazy.exact()
        expect({ run: 'eager', ...eager.exact() }).toEqual({ run: 'eager', ...expected })
        expect({ run: 'wild', ...wild.exact() }).toEqual({ run: 'wild', ...expected })
      }),
      { numRuns: 30 },
    )
  }, 180_000)
})
