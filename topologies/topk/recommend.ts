/**
 * Makes a list's slate for a user, or for none: retrieve -> filter -> score -> draw. Pure but for its reused arrays: the
 * same table, user, time and seed give the same slate.
 */
import type { OptionValues } from '../../streams/options.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { ItemTable } from '../items/table.ts'
import { vectorDimension } from '../learner/rows.ts'
import type { User } from '../user/user.ts'
import { Filter } from './filter.ts'
import type { ListedCandidates } from './list.ts'
import type { topkOptions } from './options.ts'
import type { Ask } from './retrieve/ask.ts'
import { Candidates } from './retrieve/candidates.ts'
import { Content } from './retrieve/content.ts'
import { Covisit, covisitWindow } from './retrieve/covisit.ts'
import { Embedding } from './retrieve/embedding.ts'
import { Explore } from './retrieve/explore.ts'
import { retrieveCohort, retrievePopularity } from './retrieve/popularity.ts'
import { mixScorer, type Scorer } from './score.ts'
import { Slate, SlateDrawer, type SlateRules, Traits } from './slate.ts'

export type TopkOptions = OptionValues<typeof topkOptions>

const d = vectorDimension
/** Sources of a user's list; cohorts have their own popularity beside. */
const sources = 5

function slateRules(options: TopkOptions): SlateRules {
  return {
    size: options['topk.size'],
    policy: options['topk.policy'],
    temperature: options['topk.temperature'],
    epsilon: options['topk.epsilon'],
    mmr: options['topk.mmr'],
    mmrPositions: options['topk.mmrPositions'],
    creatorCap: options['topk.creatorCap'],
    topicRun: options['topk.topicRun'],
  }
}

export class Recommender implements ListedCandidates {
  readonly rules: SlateRules
  readonly candidates: Candidates
  readonly traits: Traits
  readonly slate: Slate
  /** Seed of the last draw. */
  seed = 0
  /** `mix-pl@1`: ranker, policy (pl, eps, greedy), and the version of what is written here. */
  readonly policy: string
  readonly model: string

  private readonly options: TopkOptions
  private readonly items: ItemTable
  private readonly scorer: Scorer
  private readonly filter: Filter
  private readonly drawer: SlateDrawer
  private readonly covisit = new Covisit()
  private readonly embedding = new Embedding()
  private readonly content = new Content()
  private readonly explore = new Explore()
  private readonly history = new Int32Array(covisitWindow)
  private readonly logits: Float64Array
  /** Item and source of each candidate that the surface of the last draw allows. */
  private readonly drawable: number[] = []
  private readonly drawableSource: number[] = []
  private allowsRestricted: boolean | undefined

  constructor(options: TopkOptions, items: ItemTable, scorer?: Scorer) {
    this.options = options
    this.items = items
    const capacity = Math.max(options['topk.candidates'] * sources, options['topk.size'])
    this.rules = slateRules(options)
    this.candidates = new Candidates(capacity)
    this.traits = new Traits(capacity, d)
    this.slate = new Slate(this.rules.size)
    this.scorer = scorer ?? mixScorer(capacity)
    this.filter = new Filter(items, options['topk.fatigue'])
    this.drawer = new SlateDrawer(this.rules, capacity)
    this.logits = new Float64Array(capacity)
    const draw =
      this.rules.policy === 'epsilon' ? 'eps' : this.rules.temperature > 0 ? 'pl' : 'greedy'
    this.policy = `${this.scorer.name}-${draw}@1`
    this.model = this.scorer.model
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
    const length = Math.min(user?.positives.length ?? 0, covisitWindow)
    for (let k = 0; k < length; k++) this.history[k] = user!.positives.item(k)
    const ask: Ask = {
      items,
      history: this.history,
      length,
      perSource: this.options['topk.candidates'],
      countedUntil: items.countedUntil,
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
    this.scorer.score({ ask, candidates, covisit, embedding, content, filter }, this.logits)
    this.allowsRestricted = undefined
  }

  /** Draws `slate` for a surface from what was prepared. */
  draw(surface: string, subject: string): Slate {
    this.seed = hash53(`${surface} ${subject}`, this.options['topk.seed'])
    this.fillTraits(this.options['topk.restricted'].includes(surface))
    this.drawer.draw(this.traits, randomFrom(this.seed), this.slate)
    return this.slate
  }

  idOf(candidate: number): string {
    return this.items.idOf(this.drawable[candidate])
  }

  sourceOf(candidate: number): number {
    return this.drawableSource[candidate]
  }

  /** Item index of a drawn candidate. */
  itemOf(candidate: number): number {
    return this.drawable[candidate]
  }

  /** Restricted items are no candidates where the surface must not show them. */
  private fillTraits(allowed: boolean): void {
    if (this.allowsRestricted === allowed) return
    this.allowsRestricted = allowed
    const { traits, candidates, items } = this
    this.drawable.length = 0
    this.drawableSource.length = 0
    let n = 0
    for (let i = 0; i < candidates.count; i++) {
      const item = candidates.items[i]
      const entry = items.catalog(item)
      if (!allowed && entry?.safety === 'restricted') continue
      traits.logit[n] = this.logits[i]
      traits.creator[n] = entry?.creator ?? -1
      traits.topic[n] = entry?.topics[0] ?? -1
      if (this.rules.mmr > 0) this.unitVector(item, n)
      this.drawable.push(item)
      this.drawableSource.push(candidates.source[i])
      n++
    }
    traits.count = n
  }

  private unitVector(item: number, candidate: number): void {
    const { vectors } = this.traits
    const { output } = this.items
    const to = candidate * d
    if (!this.items.hasVector(item)) {
      vectors.fill(0, to, to + d)
      return
    }
    const from = item * d
    let norm = 0
    for (let k = 0; k < d; k++) norm += output[from + k] * output[from + k]
    const scale = norm > 0 ? 1 / Math.sqrt(norm) : 0
    for (let k = 0; k < d; k++) vectors[to + k] = output[from + k] * scale
  }
}
