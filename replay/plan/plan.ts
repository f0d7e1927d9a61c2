/** The plan that is shown before a replay begins: what is read, what is gone, how long it takes, what it writes. */
import { FreshetError } from '../../streams/errors.ts'
import { countOf, type Range } from '../archive/ranges.ts'
import type { ReplaySpec } from '../shadow/spec.ts'
import type { Gone, PlannedTopic } from './ranges.ts'

/** What an earlier run of a replay says of how fast it goes. */
export interface EarlierRun {
  readonly replay: string
  readonly topologies: string
  readonly source: 'kafka' | 'archive'
  readonly workers: number
  readonly records: number
  readonly ms: number
  /** Of the state in its folder. */
  readonly bytesPerRecord: number
}

/** Where no earlier run says better: records a second with sessions, labels and popularity alone, and with all else. */
const ASSUMED = { counts: 20_000, lists: 2_000 }
const COUNTS_ONLY: ReadonlySet<string> = new Set(['sessions', 'labels', 'popularity', 'covisit'])
const STATE_BYTES_A_RECORD = 150

export interface Plan {
  readonly name: string
  readonly source: ReplaySpec['source']
  readonly state: string
  readonly topologies: string
  readonly set: Readonly<Record<string, string>>
  readonly topics: readonly PlannedTopic[]
  readonly gone: readonly Gone[]
  readonly records: number
  readonly bytes: number
  /** Known, also those that come behind the end. */
  readonly erasures: number
  readonly workers: number
  readonly rate: { readonly perSecond: number; readonly from: string }
  readonly speed: string
  readonly throttle: string
  readonly writes: readonly string[]
  readonly stateBytes: number
  readonly notes: readonly string[]
}

export interface PlanParts
  extends Pick<
    Plan,
    | 'name'
    | 'source'
    | 'state'
    | 'topologies'
    | 'set'
    | 'topics'
    | 'gone'
    | 'erasures'
    | 'workers'
    | 'speed'
    | 'throttle'
    | 'writes'
    | 'notes'
  > {
  readonly earlier: readonly EarlierRun[]
}

export function makePlan({ earlier, ...parts }: PlanParts): Plan {
  const all = parts.topics.flatMap(({ partitions }) => partitions)
  const sum = (of: (one: (typeof all)[number]) => number): number =>
    all.reduce((total, one) => total + of(one), 0)
  const records = sum(one => one.records)
  const like = likeliest(earlier, parts)
  const perRecord = like?.bytesPerRecord ?? STATE_BYTES_A_RECORD
  return {
    ...parts,
    records,
    bytes: sum(one => one.bytes),
    rate: like
      ? {
          perSecond: Math.round((like.records * 1000) / like.ms),
          from: `as ${like.replay} ran here, ${like.workers === 1 ? 'in one process' : `in ${like.workers} processes`}`,
        }
      : { perSecond: assumed(parts.topologies), from: 'assumed: no replay ran here before' },
    stateBytes: Math.round(perRecord * records),
  }
}

/** The newest earlier run of the same topologies, preferably with as many processes and from the same source. */
function likeliest(
  earlier: readonly EarlierRun[],
  { topologies, workers, source }: Pick<Plan, 'topologies' | 'workers' | 'source'>,
): EarlierRun | undefined {
  const same = earlier.filter(run => run.topologies === topologies && run.ms > 0)
  const score = (run: EarlierRun): number =>
    (run.workers === workers ? 2 : 0) + (run.source === source.kind ? 1 : 0)
  return same.reduce<EarlierRun | undefined>(
    (best, run) => (best === undefined || score(run) >= score(best) ? run : best),
    undefined,
  )
}

const assumed = (topologies: string): number =>
  topologies.split(',').every(name => COUNTS_ONLY.has(name)) ? ASSUMED.counts : ASSUMED.lists

/** The ranges as the spec has them. */
export function rangesOf(topics: readonly PlannedTopic[]): Record<string, readonly Range[]> {
  return Object.fromEntries(
    topics.map(({ topic, partitions }) => [topic, partitions.map(({ range }) => range)]),
  )
}

/** Errors: CALL_INVALID names what is gone, but with `accepted`. */
export function refuseLoss(gone: readonly Gone[], accepted: boolean, what: string): void {
  if (gone.length === 0 || accepted) return
  const offsets = countOf(gone.map(({ range }) => range))
  throw new FreshetError(
    'CALL_INVALID',
    `${what} no longer has all that is to be read, ${offsets.toLocaleString('en-US')} offsets: ${gone.slice(0, 8).map(goneText).join('; ')}${gone.length > 8 ? `; and ${gone.length - 8} more` : ''}. Read from an archive that has them, take a later --from, or go on without them with --accept-loss`,
  )
}

export const goneText = ({ topic, partition, range: [from, next], why }: Gone): string =>
  `${topic}-${partition} ${from === next - 1 ? `offset ${from}` : `offsets ${from} to ${next - 1}`} (${why})`
