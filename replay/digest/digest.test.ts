/**
 * Digests are functions of each partition's record order: not of clocks, commits, ticks, crashes, nor of when packets of
 * several partitions meet.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestWithTexts, exactRowsOf } from '../../test/support/digest-rows.ts'
import { compose, Recommender } from '../../test/support/recommender.ts'
import { DAY, GAP, HOUR, type JsonEvent, MINUTE, START } from '../../test/support/user-task.ts'
import { parseTopologies } from '../../topologies/main.ts'

const names = 'sessions,labels,popularity,covisit,topk,drift,quality'
const topologies = parseTopologies(names)
const composition = await compose({}, names)
const users = ['ann', 'böb', 'cy', 'dan', 'eve']
const partitions = 2

type Around = 'tick' | 'restart' | 'compacted' | 'hop' | 'leap' | 'all' | number

const steps = fc.array(
  fc.record({
    user: fc.nat(4),
    kind: fc.constantFrom(
      'impression',
      'impression',
      'impression',
      'watch',
      'watch',
      'watch',
      'feedback',
      'erase',
    ),
    item: fc.nat(5),
    play: fc.nat(3),
    wait: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 0, max: 8 * MINUTE }) },
      { weight: 2, arbitrary: fc.constantFrom(GAP, GAP + 1, 5 * HOUR) },
      fc.constantFrom(26 * HOUR, 9 * DAY),
    ),
    late: fc.oneof(
      { weight: 5, arbitrary: fc.constant(0) },
      fc.integer({ min: 1, max: 3 * HOUR }),
      fc.integer({ min: 20 * HOUR, max: 28 * HOUR }),
    ),
    watched: fc.constantFrom(0, 1500, 20_000, 31_000, 80_000),
    duration: fc.constantFrom(0, 8000, 60_000),
    seq: fc.nat(4),
    end: fc.constantFrom('none', 'none', 'none', 'finished', 'skipped', 'left'),
    request: fc.constantFrom('', 'r1', 'r2'),
    surface: fc.constantFrom('home', 'home', 'shorts'),
    cohort: fc.constantFrom('', 'de', 'fr'),
    again: fc.constantFrom(false, false, false, false, true),
    consent: fc.constantFrom('full', 'full', 'full', 'full', 'full', 'none', 'contextual'),
    around: fc.oneof(
      { weight: 4, arbitrary: fc.nat(4) as fc.Arbitrary<Around> },
      { weight: 2, arbitrary: fc.constantFrom<Around>('tick', 'hop', 'leap', 'all') },
      fc.constantFrom<Around>('restart', 'compacted'),
    ),
  }),
  { minLength: 5, maxLength: 80, size: 'max' },
)
type Draft = typeof steps extends fc.Arbitrary<(infer E)[]> ? E : never

interface Step {
  readonly event: JsonEvent
  readonly erase: boolean
  readonly at: number
  readonly around: Around
}

function arrivalsOf(drafts: readonly Draft[], withContextual: boolean): Step[] {
  let now = START
  const sent: JsonEvent[] = []
  return drafts.map((draft, k) => {
    now += draft.wait
    const consent =
      draft.consent === 'contextual'
        ? withContextual && draft.user === 4
          ? 'contextual'
          : 'full'
        : draft.consent
    const event: JsonEvent = {
      type: draft.kind,
      eventId: `e${k}`,
      userId: users[draft.user],
      itemId: `i${draft.kind === 'watch' ? draft.play : draft.item}`,
      ts: now - draft.late,
      surface: draft.surface,
      cohort: draft.cohort,
      context: { device: `d${draft.item}` },
      consent,
      ...(draft.kind === 'impression'
        ? { requestId: draft.request, position: draft.item, score: draft.watched / 1000 }
        : {}),
      ...(draft.kind === 'feedback' ? { kind: draft.item > 2 ? 'hide' : 'click' } : {}),
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
    const one = draft.again && sent.length > 0 ? sent[k % sent.length] : event
    sent.push(one)
    return { event: one, erase: draft.kind === 'erase', at: now, around: draft.around }
  })
}

class Run {
  now = START
  readonly recommender = new Recommender({ composition, now: () => this.now, partitions })

  arrive({ event, erase, at }: Step): void {
    if (erase) this.recommender.arriveErasure(event.userId, at)
    else this.recommender.arrive(event, at)
    for (const user of this.recommender.users) user.take()
  }

  around(what: Around): void {
    const { recommender } = this
    if (what === 'tick') recommender.tickAll()
    else if (what === 'hop') this.now += 11_000
    else if (what === 'leap') this.now += DAY
    else if (what === 'all') recommender.commitAll()
    else if (typeof what === 'string') {
      recommender.restart(what === 'compacted')
      for (const user of recommender.users) user.take()
    } else if (what < 2) recommender.commitUser(what)
    else if (what < 4) recommender.commitItem(what - 2)
    else recommender.commitStatistics()
  }

  digest() {
    const { recommender } = this
    for (let k = 0; k < 3; k++) {
      recommender.tickAll()
      recommender.commitAll()
    }
    return digestWithTexts(exactRowsOf(recommender), composition.values, topologies)
  }
}

function check(drafts: readonly Draft[], withContextual: boolean): void {
  const arrivals = arrivalsOf(drafts, withContextual)
  const lazy = new Run()
  const eager = new Run()
  const wild = new Run()
  for (const step of arrivals) {
    for (const run of [lazy, eager, wild]) run.arrive(step)
    eager.now = START + 4000 * DAY + (step.at - START)
    for (const what of ['tick', 'all'] as const) eager.around(what)
    if (!(withContextual && ['restart', 'compacted'].includes(String(step.around))))
      wild.around(step.around)
  }
  const expected = lazy.digest()
  for (const run of [eager, wild]) {
    const found = run.digest()
    expect(found.texts).toEqual(expected.texts)
    expect(found.digests).toEqual(expected.digests)
  }
}

describe('digests', () => {
  it('are the same whatever the clock, the commits, the ticks and the crashes', () => {
    fc.assert(
      fc.property(steps, drafts => check(drafts, false)),
      { numRuns: Number(process.env.RUNS ?? 10), endOnFailure: true },
    )
  }, 600_000)

  it('are the same with users in passing, but for crashes', () => {
    fc.assert(
      fc.property(steps, drafts => check(drafts, true)),
      { numRuns: Number(process.env.RUNS ?? 5), endOnFailure: true },
    )
  }, 600_000)
})
