/**
 * Makes a list's slate for a user, or for none: retrieve -> filter -> score -> draw. Pure but for its reused arrays: the
 * same table, user, time and seed give the same slate.
 */
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { BlendScorer } from '../blend/scorer.ts'
import { type Overrides, overriddenSurface } from '../experiments/overrides.ts'
import type { ItemTable } from '../items/table.ts'
import { bucketOf } from '../learner/positive.ts'
import { ResponseScores } from '../response/serve.ts'
import type { RankedItems } from '../served/packed-rows.ts'
import type { User } from '../user/user.ts'
import { type Prepared, SurfaceDraws } from './draw.ts'
import { Filter } from './filter.ts'
import type { ListedCandidates } from './list.ts'
import type { Ask } from './retrieve/ask.ts'
import { Candidates } from './retrieve/candidates.ts'
import { Content } from './retrieve/content.ts'
import { Covisit, covisitWindow } from './retrieve/covisit.ts'
import { Embedding } from './retrieve/embedding.ts'
import { Explore } from './retrieve/explore.ts'
import { retrieveCohort, retrievePopularity } from './retrieve/popularity.ts'
import type { Slate, SlateRules, Traits } from './rules.ts'
import type { Scorer } from './score.ts'
import { byCandidates, type SurfacePolicy, surfacePolicies, type TopkOptions } from './surfaces.ts'

/** Sources of a user's list; cohorts have their own popularity beside. */
const sources = 5

/** One for each set of surfaces that can be drawn from the same candidates. */
export function recommendersOf(
  options: TopkOptions,
  items: ItemTable,
  scorer?: ScorerFor,
): Recommender[] {
  return byCandidates(surfacePolicies(options)).map(
    surfaces => new Recommender(options, items, scorer, surfaces),
  )
}

/** As `recommendersOf`, with what arms of experiments change. @param tag of their names, behind the policies'. */
export function recommendersOfArms(
  options: TopkOptions,
  items: ItemTable,
  scorer: ScorerFor | undefined,
  overrides: Overrides,
  tag: string,
): Recommender[] {
  const own = underArms(options, overrides)
  const ranks = overrides.blend ? undefined : scorer
  return byCandidates(own.surfaces).map(
    group => new Recommender(own.options, items, ranks, group, tag),
  )
}

/** Options and surfaces as a user of these arms has them. @param overrides null: the arms change nothing. */
export function underArms(
  options: TopkOptions,
  overrides: Overrides | null,
): { readonly options: TopkOptions; readonly surfaces: readonly SurfacePolicy[] } {
  const surfaces = surfacePolicies(options)
  if (overrides === null) return { options, surfaces }
  const fatigue = (overrides.values['topk.fatigue'] as boolean) ?? options['topk.fatigue']
  return {
    options: { ...options, 'topk.fatigue': fatigue },
    surfaces: surfaces.map(policy => overriddenSurface(policy, overrides)),
  }
}

/** Makes what scores lists of at most `capacity` candidates. */
export type ScorerFor = (capacity: number) => Scorer

export class Recommender implements ListedCandidates {
  readonly surfaces: readonly SurfacePolicy[]
  readonly candidates: Candidates
  /** Of the list prepared last. */
  bucket = 0

  private readonly options: TopkOptions
  private readonly items: ItemTable
  private readonly scorer: Scorer
  private readonly response: ResponseScores
  private readonly filter: Filter
  private readonly draws: SurfaceDraws
  private readonly covisit = new Covisit()
  private readonly embedding = new Embedding()
  private readonly content = new Content()
  private readonly explore = new Explore()
  private readonly history = new Int32Array(covisitWindow)
  private readonly logits: Float64Array
  private readonly prepared: Prepared
  /** The list drawn last, as rows of `matrix`. */
  readonly ranked: RankedItems

  /** @param surfaces that can be drawn from the same candidates; all, where they are alike in that. @param arms of experiments that
   * changed the policy, behind its name. */
  constructor(
    options: TopkOptions,
    items: ItemTable,
    scorer: Scorer | ScorerFor = capacity => new BlendScorer(capacity),
    surfaces = byCandidates(surfacePolicies(options))[0],
    arms = '',
  ) {
    this.options = options
    this.items = items
    this.surfaces = surfaces
    const sizes = surfaces.map(({ rules }) => rules.size)
    const capacity = Math.max(surfaces[0].candidates * sources, ...sizes)
    this.candidates = new Candidates(capacity)
    this.scorer = typeof scorer === 'function' ? scorer(capacity) : scorer
    this.response = new ResponseScores(items)
    this.filter = new Filter(
      items,
      options['topk.fatigue'],
      surfaces.some(({ restricted }) => restricted),
    )
    this.logits = new Float64Array(capacity)
    this.prepared = { candidates: this.candidates, logits: this.logits, user: null, now: 0 }
    this.draws = new SurfaceDraws(options, surfaces, items, {
      ranker: () => this.scorer.name,
      capacity,
      arms,
    })
    const { draws } = this
    const { slate } = draws
    this.ranked = {
      get count() {
        return slate.count
      },
      item: place => draws.itemOf(slate.picked[place]),
      row: place => draws.placeOf(slate.picked[place]),
    }
  }

  /**
   * Retrieves and scores: `candidates` and `traits` hold what can be drawn from, for any number of draws.
   * @param now processing time, ms. @param subject with the option's seed decides chance. @param cohort what a cohort
   * watches most, best first, with its scores.
   */
  prepare(
    user: User | null,
    now: number,
    subject: string,
    cohort?: ReadonlyMap<number, number>,
  ): void {
    const { candidates, items } = this
    this.prepared.user = user
    this.prepared.now = now
    const { history: past } = this.surfaces[0]
    const from = user !== null && past === 'session' ? user.session.startedAt : 0
    const length = user === null ? 0 : this.readHistory(user, from)
    const ask: Ask = {
      items,
      history: this.history,
      length,
      from,
      perSource: this.surfaces[0].candidates,
      countedUntil: Math.max(items.countedUntil, user?.lastSeenAt ?? 0),
      cohort,
      random: randomFrom(hash53(`candidates ${subject}`, this.options['topk.seed'])),
    }
    this.filter.begin(user, now)
    candidates.begin(items.size, this.filter)
    this.covisit.accumulate(ask)
    this.embedding.prepare(ask)
    this.content.prepare(ask)
    if (length > 0) {
      this.covisit.retrieve(ask, candidates)
      this.embedding.retrieve(ask, candidates)
    }
    if (cohort !== undefined) retrieveCohort(ask, candidates)
    retrievePopularity(ask, candidates)
    this.content.retrieve(ask, candidates)
    this.explore.retrieve(ask, candidates)
    const { covisit, embedding, content, filter } = this
    const bucket = bucketFor(user, length)
    this.bucket = bucket
    this.scorer.score({ ask, candidates, covisit, embedding, content, filter, bucket }, this.logits)
    // a pushed model has the last word
    if (this.scorer.model === '')
      this.response.add({ ask, user, now, covisit, filter }, candidates, this.logits)
    this.draws.begin()
  }

  /** Newest first, since `from`; gives how many. */
  private readHistory({ positives }: User, from: number): number {
    const most = Math.min(positives.length, covisitWindow)
    let length = 0
    for (; length < most && positives.at(length) >= from; length++)
      this.history[length] = positives.item(length)
    return length
  }

  /** Draws `slate` for a surface from what was prepared. @param cohort of a list without a user. */
  draw(surface: string, subject: string, cohort = this.prepared.user?.cohort ?? ''): Slate {
    return this.draws.draw(surface, subject, cohort, this.prepared)
  }

  get slate(): Slate {
    return this.draws.slate
  }

  get traits(): Traits {
    return this.draws.traits
  }

  /** Of the last draw: its seed, rules, and the policy that they make (variants.ts). */
  get seed(): number {
    return this.draws.seed
  }

  get rules(): SlateRules {
    return this.draws.rules
  }

  get policy(): string {
    return this.draws.policy
  }

  /** The features that the list prepared last was ranked by; undefined: it was ranked without. */
  get matrix(): Float32Array | undefined {
    return this.scorer.matrix
  }

  /** Of what ranked the list prepared last. */
  get model(): string {
    return this.scorer.model
  }

  /** Of a candidate of the last draw: its row of `matrix`. */
  placeOf(candidate: number): number {
    return this.draws.placeOf(candidate)
  }

  /** What fatigue and its creator's weight add to a candidate's logit, whoever ranks. */
  logWeightOf(candidate: number): number {
    return this.filter.logWeight(this.draws.itemOf(candidate))
  }

  idOf(candidate: number): string {
    return this.draws.idOf(candidate)
  }

  sourceOf(candidate: number): number {
    return this.draws.sourceOf(candidate)
  }

  /** Item index of a drawn candidate. */
  itemOf(candidate: number): number {
    return this.draws.itemOf(candidate)
  }
}

/** As of the history that the surfaces look at, as far as buckets tell depths apart. */
function bucketFor(user: User | null, length: number): number {
  return bucketOf(length, length > 0 ? user!.lastSeenAt - user!.positives.at(0) : 0)
}
