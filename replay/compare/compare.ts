/** Compares two runs by all that the surroundings have of them. Holds a sample in memory, whatever the runs' size. */
import type { ViewReader } from '../../streams/sinks.ts'
import type { Digests } from '../digest/digest.ts'
import { census } from './census.ts'
import { compareLists } from './lists.ts'
import { compareParity } from './parity.ts'
import { compareCounts } from './popularity.ts'
import { comparePositions, type Positions } from './positions.ts'
import type { PrequentialFigures } from './prequential.ts'
import { compareQuality } from './quality.ts'
import { type CompareReport, checksOf, type Tolerances } from './report.ts'
import { compareSessions } from './sessions.ts'
import { compareTables, driftOverTime, type QueriedTables } from './tables.ts'

/** The replay's first, the other run's second. */
type Both<T> = readonly [T, T]

export interface CompareInputs
  extends Pick<CompareReport, 'replay' | 'with' | 'at' | 'options' | 'state'> {
  readonly positions: Both<Positions>
  /** null: it has no state. */
  readonly digests: Both<Digests | null>
  /** Why the digests of one of them are of no one moment. */
  readonly underWay: string | undefined
  /** null: left out. */
  readonly views: Both<ViewReader> | null
  readonly tables: (QueriedTables & { readonly database: string }) | null
  readonly prequential: PrequentialFigures | null
  readonly tolerances: Tolerances
  /** Of features, relative. */
  readonly equalWithin: number
  /** Sampled of sessions, and of lists. */
  readonly users: number
  /** What stands for a user in the report. */
  readonly nameOf: (userId: string) => string
  readonly notes: readonly string[]
  readonly onProgress: (what: string, done: number) => void
}

export async function compareRuns(inputs: CompareInputs): Promise<CompareReport> {
  const { replay, with: other, at, options, state, tables, prequential } = inputs
  const positions = comparePositions(...inputs.positions)
  const runs = tables && { database: tables.database, replay, with: other }
  const figures = tables && runs ? await compareTables(tables, runs) : null
  const extent = figures?.find(({ table }) => table === 'drift')?.extent ?? null
  const measured = {
    replay,
    with: other,
    at,
    options,
    state,
    positions,
    ...exactOf(inputs, positions),
    ...(await ofViews(inputs)),
    tables: figures,
    driftOverTime: tables && runs && extent ? await driftOverTime(tables, runs, extent) : [],
    quality: tables && runs ? await compareQuality(tables, runs) : [],
    prequential,
    parity: tables && runs ? await compareParity(tables, runs, inputs.equalWithin) : null,
    notes: inputs.notes,
  }
  return { ...measured, checks: checksOf(measured, inputs.tolerances) }
}

async function ofViews(
  inputs: CompareInputs,
): Promise<Pick<CompareReport, 'counts' | 'sessions' | 'lists'>> {
  const { views, users, nameOf, onProgress } = inputs
  if (views === null) return { counts: null, sessions: null, lists: null }
  const names = [inputs.replay, inputs.with]
  const found = []
  for (const [k, reader] of views.entries())
    found.push(await census(reader, users, n => onProgress(`keys of ${names[k]}`, n)))
  const of = [found[0], found[1]] as const
  return {
    counts: await compareCounts(views, of),
    sessions: await compareSessions(views, of, users, nameOf),
    lists: await compareLists(views, of, users, nameOf),
  }
}

function exactOf(
  { digests: [replay, other], with: name, underWay }: CompareInputs,
  { same, behind, ahead }: CompareReport['positions'],
): Pick<CompareReport, 'exact' | 'exactReason' | 'digest'> {
  const is = (part: keyof Digests): boolean | null => {
    if (!same || underWay !== undefined || !replay?.[part] || !other?.[part]) return null
    return replay[part] === other[part]
  }
  return {
    exact: {
      sessions: is('sessions'),
      labels: is('labels'),
      counts: is('counts'),
      histograms: is('histograms'),
    },
    exactReason: reasonOf(),
    digest: { replay, with: other },
  }

  function reasonOf(): string {
    if (other === null && behind === 0) return `there is no state of ${name} to compare with`
    if (same) return underWay ?? ''
    const by = [
      behind > 0 ? `${name} has taken in ${behind.toLocaleString('en-US')} records more` : '',
      ahead > 0 ? `the replay has taken in ${ahead.toLocaleString('en-US')} records more` : '',
    ].filter(text => text !== '')
    return by.length > 0
      ? `they do not stand at the same records: ${by.join(', and ')}`
      : 'the replay has taken in nothing'
  }
}
