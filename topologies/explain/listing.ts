/**
 * A user's list as the stages would draw it now, with everything it is drawn from: the same Recommender, the same chance,
 * and a scorer that can be looked into. Reads only.
 */
import { FeatureRows } from '../blend/feature-rows.ts'
import { featureCount } from '../blend/features.ts'
import type { ListArms } from '../experiments/book.ts'
import type { ItemTable } from '../items/table.ts'
import { ResponseScores } from '../response/serve.ts'
import { ratePosterior } from '../topk/draw.ts'
import { chancesAfter, type Draw } from '../topk/propensities.ts'
import { Recommender, underArms } from '../topk/recommend.ts'
import { type CandidateSource, candidateSources } from '../topk/retrieve/candidates.ts'
import type { SlateRules } from '../topk/rules.ts'
import type { Evidence } from '../topk/score.ts'
import { drawOfRow, slateRow } from '../topk/slates-row.ts'
import { byCandidates, type SurfacePolicy, type TopkOptions } from '../topk/surfaces.ts'
import type { User } from '../user/user.ts'
import { type RankingModel, RecordedScorer } from './recorded.ts'
import {
  blendTerms,
  emptyTerms,
  mixTerms,
  sumOf,
  type TermGroup,
  type Terms,
  termGroups,
} from './terms.ts'

type Response = NonNullable<ReturnType<ResponseScores['explain']>>

/** How an item is scored for the user. */
export interface Scored {
  readonly item: number
  /** The source that named it first; undefined: none did. */
  readonly source: CandidateSource | undefined
  /** The registry's features. */
  readonly features: Float64Array
  /** Of the blend, or of the fixed mix; undefined: the mix knows candidates alone. */
  readonly terms: Terms | undefined
  /** Logarithms of the weights that fatigue and feedback on the creator leave it. */
  readonly fatigue: number
  readonly creator: number
  /** The blend's logit with both, in whole thousandths; and the ranker's, which differs where a model ranks. */
  readonly blended: number | undefined
  readonly ranked: number | undefined
  /** Undefined while the response model is off. */
  readonly response: Response | undefined
  /** What is drawn from, before likeness to the items above; undefined: it is not drawn from. */
  readonly logit: number | undefined
}

export interface ListingSettings {
  readonly options: TopkOptions
  readonly items: ItemTable
  readonly model?: RankingModel
  /** The user's arms of experiments; what they change is drawn by. */
  readonly arms?: ListArms
}

export class Listing {
  readonly user: User
  readonly now: number
  readonly surface: SurfacePolicy
  readonly evidence: Evidence
  /** The ranker's name in `policy`, and the version of its model. */
  readonly ranker: string
  readonly model: string
  readonly policy: string
  /** The user's arms, as JSON; '{}' where there are none. */
  readonly experiments: string
  readonly seed: number
  readonly rules: SlateRules
  /** In order of retrieval. */
  readonly candidates: readonly Scored[]
  /** What the draw saw; `drawn` has item and place in `candidates` of each, in its order. */
  readonly draw: Draw
  readonly drawn: readonly number[]
  /** Items by position, with score and p, as they would stand in the list. */
  readonly list: readonly { readonly item: number; readonly score: number; readonly p: number }[]
  /** The bucket's weights; undefined where the mix ranks. */
  readonly weights: Float64Array | undefined
  private readonly rows = new FeatureRows()
  private readonly byItem: ReadonlyMap<number, Scored>
  private readonly response: ResponseScores

  constructor(
    { options, items, model, arms }: ListingSettings,
    user: User,
    now: number,
    name: string,
  ) {
    this.user = user
    this.now = now
    this.experiments = arms?.text ?? '{}'
    const overrides = arms?.overrides ?? null
    const own = underArms(options, overrides)
    const surfaces = byCandidates(own.surfaces).find(group =>
      group.some(surface => surface.name === name),
    )!
    this.surface = surfaces.find(surface => surface.name === name)!
    let scorer: RecordedScorer | undefined
    const recommender = new Recommender(
      own.options,
      items,
      capacity => {
        scorer = new RecordedScorer(capacity, overrides?.blend ? undefined : model)
        return scorer
      },
      surfaces,
      arms?.tag,
    )
    const subject = `${user.id} ${user.lastOffset}`
    recommender.prepare(user, now, subject)
    const recorded = scorer!
    this.evidence = recorded.evidence!
    const slate = recommender.draw(name, subject)
    this.ranker = recorded.name
    this.model = recorded.model
    this.policy = recommender.policy
    this.seed = recommender.seed
    this.rules = recommender.rules
    this.response = new ResponseScores(items)
    this.rows.begin(this.evidence.ask, this.evidence, items.blend.tasteMeans)
    const isBlend = recorded.blend.name === 'blend'
    if (isBlend) {
      this.weights = new Float64Array(featureCount)
      items.blend.of(this.evidence.bucket, this.weights)
    }
    const row = slateRow(recommender, { user: '', key: '' }, name, now)
    this.draw = drawOfRow(row, recommender.rules)
    this.drawn = row.candidates.map((_, i) => recommender.itemOf(i))
    const logits = new Map(this.drawn.map((item, i) => [item, row.candidates[i].weight]))
    const mixed = isBlend ? [] : mixTerms(this.evidence)
    const { count, items: item, source } = recommender.candidates
    this.candidates = Array.from({ length: count }, (_, i) =>
      this.scored(item[i], {
        source: source[i],
        blended: recorded.blended[i],
        ranked: recorded.ranked[i],
        logit: logits.get(item[i]),
        terms: mixed[i],
      }),
    )
    this.byItem = new Map(this.candidates.map(scored => [scored.item, scored]))
    this.list = Array.from({ length: slate.count }, (_, k) => ({
      item: recommender.itemOf(slate.picked[k]),
      score: slate.score[k],
      p: slate.p[k],
    }))
  }

  /** Of a candidate as it was scored; of another as it would be, where the blend ranks. */
  of(item: number): Scored {
    return this.byItem.get(item) ?? this.scored(item, {})
  }

  isCandidate(item: number): boolean {
    return this.byItem.has(item)
  }

  /** Chance of each item to be drawn at a position of this draw, given those above it; undefined for thompson. */
  chancesAt(position: number): ReadonlyMap<number, number> | undefined {
    if (this.rules.policy === 'thompson') return undefined
    const { picked, candidates, rules } = this.draw
    const odds = chancesAfter(picked.slice(0, position), candidates, rules)
    return new Map([...odds].map(([i, p]) => [this.drawn[i], p]))
  }

  /** Place among all that is drawn from by logit, from 1; equals share the best place. 0: it is not drawn from. */
  placeOf({ logit }: Scored): number {
    if (logit === undefined) return 0
    return 1 + this.candidates.filter(other => (other.logit ?? -Infinity) > logit).length
  }

  /** How far each group lies above what the list's items have on average: what sets the item apart. */
  lifts({ terms, response }: Scored): Record<TermGroup, number> {
    const lifts = emptyTerms()
    if (terms === undefined || this.list.length === 0) return lifts
    const kept = response?.kept ?? 1
    for (const group of termGroups) {
      const sum = this.list.reduce((all, { item }) => all + (this.of(item).terms?.[group] ?? 0), 0)
      lifts[group] = kept * (terms[group] - sum / this.list.length)
    }
    return lifts
  }

  /** The same for what the response model adds. */
  responseLift({ response }: Scored): number {
    if (response === undefined || this.list.length === 0) return 0
    const sum = this.list.reduce((all, { item }) => all + (this.of(item).response?.added ?? 0), 0)
    return response.added - sum / this.list.length
  }

  /** What the item would be drawn by, also if it is no candidate; NaN where the mix ranks. */
  servedLogit({ item, blended, fatigue, creator, response }: Scored): number {
    if (blended === undefined) return Number.NaN
    const rate = this.rateTerm(item)
    if (response === undefined) return blended + rate
    const fixed = fatigue + creator
    return response.kept * (blended - fixed) + fixed + response.added + rate
  }

  /** What the expected rate adds on a surface whose policy is thompson; 0 on others. */
  rateTerm(item: number): number {
    const { rules } = this.surface
    if (rules.policy !== 'thompson') return 0
    const { alpha, beta } = ratePosterior(this.evidence.ask.items, item)
    return rules.rateWeight * Math.log(alpha / beta)
  }

  private scored(
    item: number,
    known: {
      source?: number
      blended?: number
      ranked?: number
      logit?: number
      terms?: Terms
    },
  ): Scored {
    const { evidence, user, now, weights } = this
    const features = new Float64Array(featureCount)
    this.rows.write(item, features, 0)
    // as they stand in the matrix that is scored
    const asStored = Float64Array.from(features, Math.fround)
    const terms = weights ? blendTerms(asStored, weights) : known.terms
    const fatigue = evidence.filter.fatigueWeight(item)
    const creator = evidence.filter.creatorWeight(item)
    const source = known.source ?? candidateSources.indexOf('other')
    return {
      item,
      source: known.source === undefined ? undefined : candidateSources[known.source],
      features: asStored,
      terms,
      fatigue,
      creator,
      blended: known.blended ?? (terms && sumOf(terms) + fatigue + creator),
      ranked: known.ranked,
      response:
        this.model === ''
          ? this.response.explain({ ...evidence, user, now }, item, source)
          : undefined,
      logit: known.logit,
    }
  }
}
