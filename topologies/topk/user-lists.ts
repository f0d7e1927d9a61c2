/**
 * A user's lists of all surfaces as writes to the view store. Surfaces that can be drawn from the same candidates share one
 * retrieval.
 *
 *  - B1 a surface's list is built at most every `minInterval` of its own, but at once where it must (`all`); what was not
 *       due is owed.
 *  - B2 `scratch.list` has the items of the newest list of every surface, also of one that was not built this time.
 */
import { hash53 } from '../../streams/serde/hash.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { SampledDraws } from '../evaluation/live/draws.ts'
import type { ExperimentBook, ListArms } from '../experiments/book.ts'
import type { ItemTable } from '../items/table.ts'
import type { ServedFeatures } from '../served/features.ts'
import type { User } from '../user/user.ts'
import { listBody } from './list.ts'
import {
  type Recommender,
  recommendersOf,
  recommendersOfArms,
  type ScorerFor,
} from './recommend.ts'
import { type Pseudonym, type SlateRow, slateRow } from './slates-row.ts'
import type { SurfacePolicy, TopkOptions } from './surfaces.ts'

declare module '../user/user.ts' {
  interface UserScratch {
    /** When each surface's list was built, by its number; only where surfaces differ in `minInterval`. */
    surfaceBuiltAt?: number[]
    /** Numbers of the surfaces that still owe the list of an earlier event; undefined: none, or all to a new one. */
    surfacesOwed?: readonly number[]
  }
}

export interface UserListsDeps {
  readonly options: TopkOptions
  readonly items: ItemTable
  /** What ranks, where it is not the blend. */
  readonly scorer?: ScorerFor
  /** How users are named in the table `slates`; without it no draws are sampled. */
  readonly pseudonym?: (userId: string) => Pseudonym
  /** Keeps what lists were ranked by. */
  readonly served?: ServedFeatures
  /** Keeps sampled lists until it is known what came of them. */
  readonly evaluated?: SampledDraws
  /** Deals users to the arms of experiments. */
  readonly experiments?: ListExperiments
}

/** The experiments as lists know them (experiments/book.ts). */
export type ListExperiments = Pick<ExperimentBook, 'version' | 'armsFor'>

/** Each holds arrays for a list's candidates, and a board over all items. */
const mostOfArms = 64

export class UserLists {
  /** The shortest of any surface. */
  readonly minIntervalMs: number
  /** Of the last build: draws for the table `slates`, and whether any list holds an item. */
  readonly sampled: SlateRow[] = []
  /** Surfaces whose lists the last build made. */
  readonly builtSurfaces: string[] = []
  isEmpty = true
  private readonly deps: UserListsDeps
  private readonly recommenders: readonly Recommender[]
  /** Of the arms that change something, by their tag; as of the experiments' version. */
  private readonly ofArms = new Map<string, readonly Recommender[]>()
  private armsVersion = -1
  private readonly isUneven: boolean
  /** By number of the surface. */
  private readonly intervals: readonly number[]
  /** Where each surface's items begin in `scratch.list`, and where the last one's end; only where uneven. */
  private readonly places: readonly number[]
  private readonly listed: number[] = []
  private readonly builtNow: number[] = []

  constructor(deps: UserListsDeps) {
    this.deps = deps
    this.recommenders = recommendersOf(deps.options, deps.items, deps.scorer)
    const surfaces = this.recommenders.flatMap(recommender => recommender.surfaces)
    surfaces.sort((a, b) => a.number - b.number)
    this.intervals = surfaces.map(({ minIntervalMs }) => minIntervalMs)
    this.minIntervalMs = Math.min(...this.intervals)
    this.isUneven = this.intervals.some(ms => ms !== this.minIntervalMs)
    const places = [0]
    for (const { rules } of surfaces) places.push(places[places.length - 1] + rules.size)
    this.places = places
  }

  /** The lists that are due, of those owed. `all`: every list, whatever its interval. */
  build(user: User, now: number, all: boolean): ViewWrite[] {
    const { scratch } = user
    const subject = `${user.id} ${user.lastOffset}`
    const writes: ViewWrite[] = []
    this.sampled.length = 0
    this.listed.length = 0
    this.builtNow.length = 0
    this.builtSurfaces.length = 0
    const owed = this.isUneven ? this.startUneven(user) : undefined
    const arms = this.deps.experiments?.armsFor(user.id, now)
    for (const recommender of this.recommendersFor(arms)) {
      let isPrepared = false
      for (const surface of recommender.surfaces) {
        if (owed !== undefined && !all && !isDue(surface, user, now, owed)) continue
        if (!isPrepared) recommender.prepare(user, now, subject)
        isPrepared = true
        writes.push(this.draw(recommender, surface, user, now, subject, arms))
      }
    }
    if (owed === undefined) scratch.list = Int32Array.from(this.listed)
    else this.endUneven(user, owed)
    this.isEmpty = !(scratch.list ?? []).some(item => item >= 0)
    return writes
  }

  private recommendersFor(arms: ListArms | undefined): readonly Recommender[] {
    const { options, items, scorer, experiments } = this.deps
    if (arms === undefined || arms.overrides === null || experiments === undefined)
      return this.recommenders
    if (this.armsVersion !== experiments.version) {
      this.ofArms.clear()
      this.armsVersion = experiments.version
    }
    const known = this.ofArms.get(arms.tag)
    if (known !== undefined) return known
    // the oldest makes room
    if (this.ofArms.size >= mostOfArms) this.ofArms.delete([...this.ofArms.keys()][0])
    const made = recommendersOfArms(options, items, scorer, arms.overrides, arms.tag)
    this.ofArms.set(arms.tag, made)
    return made
  }

  private draw(
    recommender: Recommender,
    surface: SurfacePolicy,
    user: User,
    now: number,
    subject: string,
    arms: ListArms | undefined,
  ): ViewWrite {
    const { options, pseudonym, served, evaluated } = this.deps
    const { name, number } = surface
    this.builtSurfaces.push(name)
    const slate = recommender.draw(name, subject)
    const { scratch } = user
    let at = this.places[number]
    for (let k = 0; k < slate.count; k++) {
      const item = recommender.itemOf(slate.picked[k])
      if (this.isUneven && scratch.list) scratch.list[at++] = item
      else this.listed.push(item)
    }
    if (this.isUneven) {
      scratch.list?.fill(-1, at, this.places[number + 1])
      if (scratch.surfaceBuiltAt) scratch.surfaceBuiltAt[number] = now
      this.builtNow.push(number)
    }
    const isSampled = hash53(`slate ${name} ${subject}`) * 2 ** -53 < options['slates.share']
    if (pseudonym && isSampled)
      this.sampled.push(slateRow(recommender, pseudonym(user.id), name, now))
    evaluated?.drawn(user, name, recommender, isSampled)
    const key = listKey(name, user.id)
    const recordTs = scratch.listRecordTs === undefined ? {} : { recordTs: scratch.listRecordTs }
    // an empty list would hide the cohort's from the reader
    if (slate.count === 0) return { op: 'delete', key, ...recordTs }
    served?.drawn(user.id, name, recommender.ranked, recommender.matrix)
    const { policy, model } = recommender
    const lifeMs = options['topk.life']
    const head = {
      user: user.id,
      surface: name,
      cohort: user.cohort,
      at: now,
      expires: now + lifeMs,
      policy,
      model,
      experiments: arms?.text,
    }
    const body = listBody(head, slate, recommender, options['topk.format'])
    return { op: 'json', key, body, ttlMs: lifeMs, ...recordTs }
  }

  /** Gives the numbers of the surfaces that are owed. */
  private startUneven({ scratch }: User): readonly number[] {
    const { places } = this
    scratch.surfaceBuiltAt ??= Array.from({ length: places.length - 1 }, () => -Infinity)
    scratch.list ??= new Int32Array(places[places.length - 1]).fill(-1)
    return scratch.surfacesOwed ?? scratch.surfaceBuiltAt.map((_, number) => number)
  }

  /** When the first of the lists that the user is owed may be built, ms. */
  owedAt({ scratch }: User): number {
    const at = (number: number): number =>
      (scratch.surfaceBuiltAt?.[number] ?? 0) + this.intervals[number]
    return Math.min(...(scratch.surfacesOwed ?? []).map(at))
  }

  private endUneven({ scratch }: User, owed: readonly number[]): void {
    const left = owed.filter(number => !this.builtNow.includes(number))
    scratch.surfacesOwed = left.length > 0 ? left : undefined
  }
}

/** In the view store, without the prefix. */
export function listKey(surface: string, userId: string): string {
  return `topk:${surface}:u:${userId}`
}

function isDue(
  { number, minIntervalMs }: SurfacePolicy,
  { scratch }: User,
  now: number,
  owed: readonly number[],
): boolean {
  const builtAt = scratch.surfaceBuiltAt?.[number] ?? Number.NEGATIVE_INFINITY
  return owed.includes(number) && now - builtAt >= minIntervalMs
}
