/**
 * The whole way at task level, against a recount: the figures of a time are those of what each partition knew when its event
 * time reached it, whatever was committed, ticked, lost and restored in between.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import {
  type Arrived,
  armOf,
  arms,
  composition,
  figures,
  interval,
  recount,
} from '../../test/support/experiments-recount.ts'
import { Recommender } from '../../test/support/recommender.ts'
import { DAY, GAP, HOUR, MINUTE, START } from '../../test/support/user-task.ts'

type Around = '' | 'commit' | 'tick' | 'restart' | 'compacted' | 'statistics'

const steps = fc.array(
  fc.record({
    user: fc.nat(9),
    kind: fc.constantFrom('impression', 'impression', 'watch', 'watch', 'feedback', 'erase'),
    item: fc.nat(5),
    play: fc.nat(6),
    wait: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 9 * MINUTE }) },
      fc.constantFrom(GAP, GAP + 1, 3 * HOUR, 9 * HOUR),
    ),
    late: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 5 * HOUR })),
    watched: fc.constantFrom(0, 1500, 31_000, 180_000),
    carries: fc.constantFrom('arms', 'arms', 'arms', 'rank7', 'wrong', 'unknown', 'nothing'),
    consent: fc.constantFrom('full', 'full', 'full', 'full', 'full', 'full', 'full', 'none'),
    again: fc.constantFrom(false, false, false, false, true),
    around: fc.constantFrom<Around>(
      '',
      '',
      'commit',
      'commit',
      'tick',
      'statistics',
      'restart',
      'compacted',
    ),
  }),
  { minLength: 20, maxLength: 120, size: 'max' },
)
type Steps = typeof steps extends fc.Arbitrary<infer T> ? T : never

function carried(how: Steps[number]['carries'], user: string): Record<string, string> {
  if (how === 'nothing') return {}
  if (how === 'unknown') return { nobody: 'a' }
  const all: Record<string, string> = {}
  for (const name of Object.keys(arms)) {
    const own = armOf(name, user)
    if (own === null) continue
    if (how === 'wrong') all[name] = arms[name].find(arm => arm !== own) ?? ''
    else if (how === 'arms' || name === 'rank7') all[name] = own
  }
  return all
}

class Played {
  readonly world: Recommender
  readonly arrivals: { event: Arrived['event']; at: string }[][] = [[], []]
  private ts = START + HOUR / 2
  private readonly offsets = [0, 0]
  private readonly isDisturbed: boolean
  private number = 0

  constructor(isDisturbed: boolean) {
    this.isDisturbed = isDisturbed
    this.world = new Recommender({ composition, now: () => START + 365 * DAY, partitions: 2 })
  }

  play(all: Steps): void {
    for (const step of all) this.step(step)
    this.end()
  }

  private send(event: Arrived['event'], user: string): void {
    const p = partitionOfText(user, 2)
    this.arrivals[p].push({ event, at: `${p}@${this.offsets[p]++}` })
    if ('erases' in event) this.world.arriveErasure(user, event.ts)
    else this.world.arrive(event, this.ts)
    this.world.users[p].take()
  }

  private step(step: Steps[number]): void {
    this.ts += step.wait
    const user = `user${step.user}`
    const ts = this.ts - step.late
    if (!step.again) this.number++
    const common = {
      userId: user,
      itemId: `i${step.item}`,
      eventId: `e${this.number}`,
      ts,
      consent: step.consent,
    }
    if (step.kind === 'erase' && step.play === 0) this.send({ erases: user, ts: this.ts }, user)
    else if (step.kind === 'impression')
      this.send(
        {
          type: 'impression',
          ...common,
          experiments: carried(step.carries, user),
          requestId: `r${step.play}`,
        },
        user,
      )
    else if (step.kind === 'watch')
      this.send(
        {
          type: 'watch',
          ...common,
          playId: `${user}${step.play}`,
          watchedMs: step.watched,
          seq: this.number,
        },
        user,
      )
    else
      this.send({ type: 'feedback', ...common, kind: step.item === 0 ? 'report' : 'click' }, user)
    if (!this.isDisturbed) return
    const { world } = this
    if (step.around === 'commit') world.commitUser(step.play % 2)
    if (step.around === 'tick') world.tickAll()
    if (step.around === 'statistics') world.commitStatistics()
    if (step.around === 'restart' || step.around === 'compacted') {
      world.commitUser(0)
      world.restart(step.around === 'compacted')
      for (const task of world.users) task.take()
    }
  }

  /** Two days later somebody new comes to each partition, and again once labels are given. */
  private end(): void {
    for (const after of [2 * DAY, 2 * interval]) {
      this.ts += after
      for (let p = 0, k = 0; p < 2; k++) {
        const userId = `last${k}`
        if (partitionOfText(userId, 2) !== p) continue
        const eventId = `last${p} ${after}`
        this.send(
          { type: 'feedback', userId, itemId: 'i1', eventId, ts: this.ts, kind: 'click' },
          userId,
        )
        p++
      }
      for (let n = 0; n < 2; n++) {
        this.world.tickAll()
        this.world.commitAll()
      }
    }
  }

  known(): Arrived[][] {
    return this.arrivals.map(all =>
      all.map(({ event, at }) => {
        const text = this.world.facts.get(at)
        return { event, facts: text === undefined ? undefined : (JSON.parse(text) as string[]) }
      }),
    )
  }

  rows(): TableRow[] {
    return [...this.world.sent.rows]
      .filter(([key]) => key.startsWith('experiments|'))
      .map(([, row]) => row)
  }
}

/** Gives how many rows there are. Plain comparisons: there are ten thousands of them. */
function checkRows(played: Played): number {
  const known = played.known()
  const byTime = new Map<number, TableRow[]>()
  for (const row of played.rows()) {
    const time = Number(row.time)
    byTime.set(time, [...(byTime.get(time) ?? []), row])
  }
  const wrong: string[] = []
  for (const [time, rows] of byTime) {
    if (time % interval !== 0) wrong.push(`${time} is between two intervals`)
    const told = known.flatMap(arrivals => recount(arrivals, time))
    for (const row of rows) {
      if (Object.values(row).some(Number.isNaN)) wrong.push(`NaN in ${JSON.stringify(row)}`)
      const users = told.filter(({ name, arm }) => name === row.experiment && arm === row.arm)
      const wanted = figures[String(row.metric)]?.(users, time)
      if (wanted === undefined) continue
      const isMean =
        wanted.mean === null || row.mean === null
          ? wanted.mean === row.mean
          : Math.abs(Number(row.mean) - wanted.mean) < 1e-9 * (1 + wanted.mean)
      if (row.n !== wanted.n || !isMean)
        wrong.push(`${JSON.stringify(row)}, recounted ${JSON.stringify(wanted)}`)
    }
  }
  expect(wrong.slice(0, 5)).toEqual([])
  return [...byTime.values()].flat().length
}

describe('figures of experiments', () => {
  it('are a recount of what was known at the time, whatever happened around', {
    timeout: 300_000,
  }, () => {
    let most = 0
    fc.assert(
      fc.property(steps, all => {
        const plain = new Played(false)
        plain.play(all)
        most = Math.max(most, checkRows(plain))
        const disturbed = new Played(true)
        disturbed.play(all)
        checkRows(disturbed)
        // what the labels stage finds out stands where it was found out; in the end all of it does
        const last = (played: Played) => {
          const rows = played.rows()
          const newest = new Map<string, TableRow>()
          for (const row of rows) {
            const key = `${row.experiment} ${row.metric} ${row.arm}`
            if (Number(newest.get(key)?.time ?? 0) <= Number(row.time)) newest.set(key, row)
          }
          return [...newest].map(([key, row]) => [key, { ...row, time: 0 }]).sort()
        }
        expect(last(disturbed)).toEqual(last(plain))
      }),
      { numRuns: 12, endOnFailure: true },
    )
    expect(most).toBeGreaterThan(100)
  })
})
