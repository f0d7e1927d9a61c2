/**
 * A stream of events for fault runs, the same for the same seed: users come and go in sittings, are shown items, play some
 * of them with a heartbeat or a few, and like or hide one now and then. What a client does wrong is in it: events sent
 * twice, events out of order by seconds, less than full consent; and, if asked, records that nobody can read.
 *
 * Event time is the story's own: it begins in `BEGIN` and goes on by `stepMs` an event, whatever the pace of sending. So
 * every window and session is the same in a slow and a fast run, and nothing is ahead of its record's timestamp.
 *
 * Kept to what must be exact under every fault: nobody of consent `contextual` has a play of several heartbeats or an
 * event sent twice, as their users live in memory only and a crash forgets them (CONTRACT 1); what is asked about a play
 * or an impression comes within their times.
 */
import { randomFrom } from '../../../streams/serde/hash.ts'
import { type Poison, poisonOf } from './poison.ts'
import type { StoryEvent } from './tally.ts'

export const BEGIN = Date.UTC(2024, 2, 1)

const SITTING = 40
const BLOCK = 8
const MINUTE_MS = 60_000

export interface StoryOptions {
  readonly seed?: number
  readonly users?: number
  readonly items?: number
  /** Event time an event, ms. */
  readonly stepMs?: number
  /** Share of records that nobody can read. */
  readonly poison?: number
}

export type Told = { readonly event: StoryEvent } | { readonly poison: Poison }

interface Planned {
  readonly event: Omit<StoryEvent, 'eventId' | 'ts'>
  /** Not to come later than this. */
  readonly before: number
}

interface Person {
  readonly id: string
  readonly consent: StoryEvent['consent']
  plan: Planned[]
}

const consentOf = (number: number): StoryEvent['consent'] =>
  number % 20 === 7 ? 'none' : number % 20 === 13 ? 'contextual' : 'full'

export class Story {
  private readonly random: () => number
  private readonly people: Person[]
  private readonly items: number
  private readonly stepMs: number
  private readonly poison: number
  private first = 0
  private told = 0
  private made = 0
  private ready: Told[] = []
  private again: { at: number; event: StoryEvent }[] = []

  constructor({
    seed = 1,
    users = 240,
    items = 120,
    stepMs = 1000,
    poison = 0,
  }: StoryOptions = {}) {
    this.random = randomFrom(seed)
    this.people = Array.from({ length: users }, (_, n) => ({
      id: `u${n}`,
      consent: consentOf(n),
      plan: [],
    }))
    this.items = items
    this.stepMs = stepMs
    this.poison = poison
  }

  get users(): string[] {
    return this.people.map(({ id }) => id)
  }

  /** Event time that the story has come to. */
  get at(): number {
    return BEGIN + this.told * this.stepMs
  }

  next(): Told {
    while (this.ready.length === 0) this.ready = this.block()
    return this.ready.shift() as Told
  }

  /** Some events at once, now and then in the wrong order. */
  private block(): Told[] {
    const events = Array.from({ length: BLOCK }, () => this.act())
    // what hangs on the order of impression and play keeps it
    const mayTurn = events.every(
      (event, i) =>
        event.consent === 'full' &&
        (event.requestId === null || events.every((e, j) => i === j || e.userId !== event.userId)),
    )
    if (mayTurn && this.random() < 0.5) events.reverse()
    const block: Told[] = []
    for (const event of events) {
      block.push({ event })
      if (event.consent === 'full' && this.random() < 0.03)
        this.again.push({ at: this.told + Math.floor(this.random() * 60), event })
      if (this.random() < this.poison)
        block.push({ poison: poisonOf(this.told, this.random(), event) })
    }
    while (this.again.length > 0 && this.again[0].at <= this.told)
      block.push({ event: (this.again.shift() as { event: StoryEvent }).event })
    return block
  }

  private act(): StoryEvent {
    const { people, random } = this
    // a sitting moves on by a person every 50 events
    if (this.told % 50 === 49) {
      people[this.first].plan = []
      this.first = (this.first + 1) % people.length
    }
    const person = people[(this.first + Math.floor(random() * SITTING)) % people.length]
    const ts = this.at
    if (person.plan.length > 0 && person.plan[0].before < ts) person.plan = []
    const planned = person.plan.length > 0 && random() < 0.7 ? person.plan.shift() : undefined
    const event = { ...(planned?.event ?? this.begin(person)), eventId: `e${this.made++}`, ts }
    this.told++
    return event
  }

  private begin(person: Person): Planned['event'] {
    const { random } = this
    const base = { userId: person.id, consent: person.consent, requestId: null }
    const chance = random()
    const item = Math.floor(random() ** 2 * this.items)
    const number = this.made
    if (chance < 0.4) {
      const [itemId, requestId] = [`i${item}`, `r${number}`]
      if (random() < 0.5)
        person.plan = this.play(person, { ...base, itemId, requestId }, this.at + 5 * MINUTE_MS)
      return { ...base, type: 'impression', itemId, requestId, position: number % 20 }
    }
    // played from elsewhere: never shown, so that no impression is joined by chance
    const itemId = `o${item}`
    if (chance > 0.9) {
      const kind = ['click', 'like', 'share', 'hide'][number % 4]
      return { ...base, type: 'feedback', itemId, kind }
    }
    const [first, ...rest] = this.play(person, { ...base, itemId }, this.at + 3 * MINUTE_MS)
    person.plan = rest
    return first.event
  }

  private play(
    { consent }: Person,
    base: Omit<Planned['event'], 'type'>,
    before: number,
  ): Planned[] {
    const playId = `p${this.made}`
    const chance = this.random()
    if (chance < 0.15)
      return [beat(base, { playId, seq: 1, watchedMs: 700, endReason: 'skipped' }, before)]
    const beats = consent === 'full' ? 1 + Math.floor(this.random() * 3) : 1
    const whole = 4_000 + Math.floor(this.random() * 56_000)
    return Array.from({ length: beats }, (_, i) => {
      const last = i === beats - 1
      const endReason = last ? (whole > 50_000 ? 'finished' : 'left') : 'none'
      const watchedMs = Math.floor((whole * (i + 1)) / beats)
      return beat(base, { playId, seq: i + 1, watchedMs, endReason }, before + i * 3 * MINUTE_MS)
    })
  }
}

function beat(
  base: Omit<Planned['event'], 'type'>,
  of: Required<Pick<StoryEvent, 'playId' | 'seq' | 'watchedMs' | 'endReason'>>,
  before: number,
): Planned {
  return { event: { ...base, type: 'watch', durationMs: 60_000, ...of }, before }
}
