/** What a comparison comes to, and what of it is held against a tolerance. */
import { FreshetError } from '../../streams/errors.ts'
import type { DigestPart, Digests } from '../digest/digest.ts'
import type { TopkFigures } from './lists.ts'
import type { ParityFigures } from './parity.ts'
import type { CountFigures } from './popularity.ts'
import type { PositionFigures } from './positions.ts'
import type { PrequentialFigures } from './prequential.ts'
import type { QualityFigure } from './quality.ts'
import type { SessionFigures } from './sessions.ts'
import type { DriftPoint, TableFigures } from './tables.ts'

/** Views and tables that are left out (`none`) are null. */
export interface CompareReport {
  readonly replay: string
  /** `live`, or the other replay. */
  readonly with: string
  /** Wall clock, ms. */
  readonly at: number
  /** Options that the replay was started with and those of the other run, by name, where they differ. */
  readonly options: Readonly<Record<string, { readonly replay: string; readonly with: string }>>
  readonly state: { readonly replay: string; readonly with: string }
  readonly positions: PositionFigures
  /** null: not told, for `exactReason`. */
  readonly exact: Readonly<Record<DigestPart, boolean | null>>
  readonly exactReason: string
  readonly digest: { readonly replay: Digests | null; readonly with: Digests | null }
  readonly counts: CountFigures | null
  readonly sessions: SessionFigures | null
  readonly lists: TopkFigures | null
  readonly tables: readonly TableFigures[] | null
  readonly driftOverTime: readonly DriftPoint[]
  readonly quality: readonly QualityFigure[]
  readonly prequential: PrequentialFigures | null
  readonly parity: ParityFigures | null
  readonly checks: readonly Check[]
  readonly notes: readonly string[]
}

export interface Check {
  readonly name: ToleranceName
  /** What it is, in words. */
  readonly what: string
  /** null: it can't be told, for `reason`. */
  readonly value: number | null
  /** The least that holds; null: any. */
  readonly least: number | null
  readonly holds: boolean | null
  readonly reason: string
}

const defaults = {
  /** Share of the digests that are equal. */
  exact: 1,
  /** Of popularity sets: sum of the smaller by sum of the larger counts. */
  counts: 1,
  /** Share of users whose session hash is equal in all fields, of those with the same newest event. */
  sessions: 1,
  /** Mean RBO of users' lists. */
  rbo: 0.8,
  /**
   * Share of rows that follow from the log alone and are equal, of all that either run has. Drift's hang on the reference
   * too, which is frozen once its windows have closed: what comes late counts or not.
   */
  drift: 0.95,
  histograms: 0.99,
  calibration: 0.99,
  quality: 0.99,
  experiments: 0.99,
  /**
   * Share of features' values that are as they were served. A live list is drawn some tenths of a second after its event,
   * a replay's at the end of a step of the log's time, and models have learnt from other batches by then.
   */
  parity: 0.8,
} as const

export type ToleranceName = keyof typeof defaults
/** The least that holds; null: any does. */
export type Tolerances = Readonly<Record<ToleranceName, number | null>>

const toleranceNames = Object.keys(defaults) as ToleranceName[]

const takes = `NAME=SHARE from 0 to 1, or NAME=off, of ${toleranceNames.join(', ')}`

/** `rbo=.6`, `exact=off`. Errors: CALL_INVALID names what was given and what is taken. */
export function parseTolerances(given: readonly string[]): Tolerances {
  const found: Record<ToleranceName, number | null> = { ...defaults }
  for (const part of given.flatMap(text => text.split(','))) {
    const [name, value = ''] = part.split('=').map(piece => piece.trim())
    const least = value === 'off' ? null : value === '' ? Number.NaN : Number(value)
    if (!(name in defaults) || (least !== null && !(least >= 0 && least <= 1)))
      throw new FreshetError(
        'CALL_INVALID',
        `--tolerance got ${JSON.stringify(part)}; it takes ${takes}`,
      )
    found[name as ToleranceName] = least
  }
  return found
}

type Measured = Omit<CompareReport, 'checks'>

/** Shares are held as they are shown: to six digits. */
const slack = 5e-7

export function checksOf(report: Measured, tolerances: Tolerances): Check[] {
  const check = (
    name: ToleranceName,
    what: string,
    value: number | null,
    reason: string,
  ): Check => {
    const least = tolerances[name]
    const holds = least === null || value === null ? null : value >= least - slack
    return { name, what, value, least, holds, reason: value === null ? reason : '' }
  }
  const { counts, sessions, lists, tables, parity } = report
  const told = Object.values(report.exact).filter(part => part !== null)
  const noViews = 'there are no views of both (redis.url is none, or nothing was written)'
  const ofTable = (name: ToleranceName, what: string): Check => {
    const table = tables?.find(each => each.table === name)
    const { both = 0, equal = 0, onlyReplay = 0, onlyWith = 0 } = table?.exact ?? {}
    const all = both + onlyReplay + onlyWith
    return check(name, what, all > 0 ? equal / all : null, reasonOf(table))
  }
  return [
    check(
      'exact',
      'digests that are equal',
      told.length > 0 ? told.filter(Boolean).length / told.length : null,
      report.exactReason,
    ),
    check(
      'counts',
      'popularity: the smaller by the larger counts',
      counts !== null && counts.atReplay === counts.atWith ? counts.agreement : null,
      countsReason(counts, noViews),
    ),
    check(
      'sessions',
      'users whose session is equal, of those with the same newest event',
      sessions !== null && sessions.sameMoment > 0
        ? sessions.equalOfSameMoment / sessions.sameMoment
        : null,
      sessions === null ? noViews : 'no user has a session with the same newest event in both',
    ),
    check(
      'rbo',
      "mean rank-biased overlap of users' lists",
      lists?.users.rbo.mean ?? null,
      lists === null ? noViews : 'no user has a list in both',
    ),
    ofTable('drift', 'rows of drift that are equal'),
    ofTable('histograms', 'histograms that are equal'),
    ofTable('calibration', 'figures of calibration that are equal'),
    ofTable('quality', 'rows of quality that are equal'),
    ofTable('experiments', 'figures of experiments that are equal'),
    check(
      'parity',
      "features' values that are as they were served",
      parity?.equalValues ?? null,
      parityReason(parity),
    ),
  ]
}

function reasonOf(table: TableFigures | undefined): string {
  if (table === undefined)
    return 'there are no tables (clickhouse.url is none, or nothing was written)'
  if (table.rowsReplay === 0) return 'the replay has no rows'
  return table.rowsWith === 0
    ? 'the other run has no rows'
    : 'the runs have no window of the same time'
}

function countsReason(counts: CountFigures | null, noViews: string): string {
  if (counts === null) return noViews
  if (counts.agreement === null) return 'neither run has a popularity set'
  const at = (ms: number | null): string => (ms === null ? 'no time' : new Date(ms).toISOString())
  return `the sets are true for different times (${at(counts.atReplay)} and ${at(counts.atWith)})`
}

function parityReason(parity: ParityFigures | null): string {
  if (parity === null) return 'the replay has no examples'
  if (parity.both === 0) return 'no example is in both runs'
  if (parity.served === 0)
    return 'no example of the other run has features as served: its impressions name no list (`listVersion`) that it kept'
  if (parity.recomputed === 0)
    return 'no example of the replay has features; it needs served.recompute=true'
  return parity.otherRegistry > 0
    ? 'features are of two registries (feature_hash), and mean different things'
    : 'no example has features in both runs'
}

/** The first thing that a reader wants to know. */
export function verdictOf(checks: readonly Check[]): string {
  const failed = checks.filter(({ holds }) => holds === false)
  const held = checks.filter(({ holds }) => holds === true)
  const untold = checks.filter(({ holds, least }) => holds === null && least !== null)
  const rest = untold.length > 0 ? `; not told: ${untold.map(({ name }) => name).join(', ')}` : ''
  if (failed.length > 0)
    return `beyond the tolerances: ${failed.map(({ name }) => name).join(', ')}${rest}`
  if (held.length === 0) return `nothing could be compared${rest}`
  return `within the tolerances: ${held.map(({ name }) => name).join(', ')}${rest}`
}

/** False: exit code 3. */
export function holds(checks: readonly Check[]): boolean {
  return (
    checks.every(check => check.holds !== false) &&
    (checks.some(check => check.holds === true) || checks.every(({ least }) => least === null))
  )
}
