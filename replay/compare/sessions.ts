/** Session hashes of two runs, field by field, of a sample of users. */
import type { ViewReader } from '../../streams/sinks.ts'
import { type Census, inTurn } from './census.ts'
import { sampledOfBoth } from './sample.ts'

const shownExamples = 5

export interface FieldFigures {
  readonly field: string
  /** Users whose value is equal. */
  readonly equal: number
  /** Largest difference of a number; null for what is none. */
  readonly largest: number | null
}

export interface SessionExample {
  readonly user: string
  readonly field: string
  readonly replay: string | null
  readonly with: string | null
}

export interface SessionFigures {
  /** Sampled; in both runs; in one alone. */
  readonly users: number
  readonly both: number
  readonly onlyReplay: number
  readonly onlyWith: number
  /** Of those in both: every field is equal. */
  readonly equal: number
  /** Of those in both: the newest event is of the same time, so that both stand at the same moment of the user. */
  readonly sameMoment: number
  readonly equalOfSameMoment: number
  readonly fields: readonly FieldFigures[]
  readonly examples: readonly SessionExample[]
}

/** @param nameOf what stands for a user in the report. */
export async function compareSessions(
  readers: readonly [ViewReader, ViewReader],
  of: readonly [Census, Census],
  limit: number,
  nameOf: (userId: string) => string,
): Promise<SessionFigures> {
  const users = sampledOfBoth(of[0].sessionUsers, of[1].sessionUsers, limit)
  const found = await inTurn(users, user =>
    Promise.all(readers.map(reader => reader.hash(`session:${user}`))),
  )
  const counts = { both: 0, onlyReplay: 0, onlyWith: 0, equal: 0, sameMoment: 0, equalOfSame: 0 }
  const fields = new Map<string, { equal: number; largest: number | null }>()
  const examples: SessionExample[] = []
  for (const [k, [replay, other]] of found.entries()) {
    if (replay === null || other === null) {
      if (replay !== null) counts.onlyReplay++
      if (other !== null) counts.onlyWith++
      continue
    }
    counts.both++
    const differ = differencesOf(replay, other, fields)
    const isSame = replay.last_event_at === other.last_event_at
    if (isSame) counts.sameMoment++
    if (differ.length === 0) counts.equal++
    if (isSame && differ.length === 0) counts.equalOfSame++
    // those that no later event explains come first
    const user = nameOf(users[k])
    const told = differ.slice(0, 1).map(each => ({ user, ...each }))
    if (isSame) examples.unshift(...told)
    else examples.push(...told)
    examples.splice(shownExamples)
  }
  const { both, onlyReplay, onlyWith, equal, sameMoment, equalOfSame } = counts
  return {
    users: users.length,
    both,
    onlyReplay,
    onlyWith,
    equal,
    sameMoment,
    equalOfSameMoment: equalOfSame,
    fields: [...fields].map(([field, figures]) => ({ field, ...figures })),
    examples,
  }
}

type Fields = Readonly<Record<string, string>>

/** Adds to the fields' figures; gives those that differ. `version` says who wrote it and when, and is of no interest. */
function differencesOf(
  replay: Fields,
  other: Fields,
  figures: Map<string, { equal: number; largest: number | null }>,
): Omit<SessionExample, 'user'>[] {
  const differ: Omit<SessionExample, 'user'>[] = []
  for (const field of new Set([...Object.keys(replay), ...Object.keys(other)])) {
    if (field === 'version') continue
    const of = figures.get(field) ?? { equal: 0, largest: null }
    figures.set(field, of)
    const [a, b] = [replay[field], other[field]]
    const by = a === undefined || b === undefined ? Number.NaN : Math.abs(Number(a) - Number(b))
    if (Number.isFinite(by)) of.largest = Math.max(of.largest ?? 0, by)
    if (a === b) of.equal++
    else differ.push({ field, replay: a ?? null, with: b ?? null })
  }
  return differ
}
