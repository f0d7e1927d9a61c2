/** What a replay is: written once into its folder, so that it goes on after a kill exactly as it was called. */
import type { Range } from '../archive/ranges.ts'

export type ReplaySource =
  /** The live topics. */
  { readonly kind: 'kafka' } | { readonly kind: 'archive'; readonly dir: string }

export interface ReplaySpec {
  readonly format: 1
  readonly name: string
  /** Wall clock, ms. */
  readonly created: number
  readonly source: ReplaySource
  /** As the option `topologies` takes them. */
  readonly topologies: string
  /** Options that were given, by name, as text; they hold for every resume. */
  readonly set: Readonly<Record<string, string>>
  /** What the state began as: nothing, a copy of the live one, or of another replay's. */
  readonly state: string
  /** Where to read each input topic (short name), by partition: offsets [from, to). */
  readonly ranges: Readonly<Record<string, readonly Range[]>>
  /** Stands in packets: 1, or that of the live state it was copied from. */
  readonly generation: number
  /** Length of an event-time step, ms. */
  readonly stepMs: number
  /** What `replay backfill` recomputes; null for all others. Its rows stand under the replay's name until all are there. */
  readonly backfill: Backfill | null
}

/** Which rows of a replay are kept (replay/backfill/filtered-tables.ts); nothing else leaves it. */
export interface Backfill {
  readonly tables: readonly string[]
  /** Rows whose window begins, or whose time is, within [fromMs, toMs). */
  readonly fromMs: number
  readonly toMs: number
  /** Subjects of drift and histograms that it cannot tell, so that live's rows stay. */
  readonly leaves: readonly string[]
}

/** A name that can't be taken for the live system's, nor leave its folder. */
export const isReplayName = (name: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) && name !== 'live' && name !== 'empty'
