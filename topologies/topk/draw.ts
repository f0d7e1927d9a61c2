/**
 * Draws lists for surfaces from one set of candidates: fills in what the rules look at, decides by which of the surface's
 * policies to draw (holdout, epsilon of the context, what is left of the budget), and draws.
 *
 * D1 What a ranker gets wrong never reaches a list: a candidate whose logit is not finite is none, but where that would leave
 *    nobody all are equal; a finite one is held within +-1e6.
 */
import { FreshetError } from '../../streams/errors.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { ItemTable } from '../items/table.ts'
import { vectorDimension } from '../learner/rows.ts'
import type { User } from '../user/user.ts'
import { bucketOf, budgetLeft, cohortHash, type ExploredShown, isHoldout } from './exploration.ts'
import { GroupMarks } from './groups.ts'
import type { ListedCandidates } from './list.ts'
import { type Candidates, candidateSources } from './retrieve/candidates.ts'
import { EXPLORED, FRESH, Slate, type SlateRules, Traits } from './rules.ts'
import { rounded } from './score.ts'
import type { SurfacePolicy, TopkOptions } from './surfaces.ts'
import { type Variant, Variants } from './variants.ts'

declare module '../user/user.ts' {
  interface UserScratch {
    /** Of the newest event's context, where the policy file declares keys; undefined: none since the restart. */
    contextHash?: number
    explored?: ExploredShown
  }
}

const d = vectorDimension
const explore = candidateSources.indexOf('explore')
const largestLogit = 1e6

/** What lists are drawn from, as `prepare` left it. */
export interface Prepared {
  readonly candidates: Candidates
  readonly logits: Float64Array
  user: User | null
  /** Processing time, ms. */
  now: number
}

interface Surface {
  readonly policy: SurfacePolicy
  readonly variants: Variants
  /** Surfaces with equal ones have the same traits. */
  readonly traits: string
}

export class SurfaceDraws implements ListedCandidates {
  readonly traits: Traits
  readonly slate: Slate
  /** Of the last draw. */
  seed = 0
  policy = ''
  rules: SlateRules

  private readonly options: TopkOptions
  private readonly items: ItemTable
  private readonly surfaces = new Map<string, Surface>()
  private readonly groups: GroupMarks
  /** Item and source of each candidate that the surface of the last draw allows. */
  private readonly drawable: number[] = []
  private readonly drawableSource: number[] = []
  /** Its place among the candidates. */
  private readonly drawableAt: number[] = []
  /** What `traits` hold; undefined: what a list before this one had. */
  private filled: string | undefined

  constructor(
    options: TopkOptions,
    surfaces: readonly SurfacePolicy[],
    items: ItemTable,
    settings: {
      readonly ranker: () => string
      readonly capacity: number
      /** Behind the policies' names: the arms that changed them. */
      readonly arms: string
    },
  ) {
    const { capacity, ranker, arms } = settings
    const file = options['topk.policies']
    this.options = options
    this.items = items
    this.groups = new GroupMarks(file.groups, items)
    this.traits = new Traits(capacity, d)
    this.slate = new Slate(Math.max(...surfaces.map(({ rules }) => rules.size)))
    this.rules = surfaces[0].rules
    for (const policy of surfaces) {
      const { rules, restricted, youngerThanMs } = policy
      const rate = rules.policy === 'thompson' ? rules.rateWeight : 'none'
      this.surfaces.set(policy.name, {
        policy,
        variants: new Variants(policy, {
          ranker,
          version: `${file.version}${arms}`,
          capacity,
          holdoutTemperature: options['explore.holdoutTemperature'],
        }),
        traits: `${restricted} ${youngerThanMs} ${rules.mmr > 0} ${rate}`,
      })
    }
  }

  /** New candidates are prepared. */
  begin(): void {
    this.filled = undefined
  }

  /** @param subject with the option's seed decides chance. @param cohort in the place of an unknown context. */
  draw(name: string, subject: string, cohort: string, from: Prepared): Slate {
    const surface = this.surfaces.get(name)
    if (surface === undefined)
      throw new FreshetError('BUG', `a list for surface ${name}, of which no policy is known here`)
    this.seed = hash53(`${name} ${subject}`, this.options['topk.seed'])
    if (this.filled !== surface.traits) {
      this.fill(surface.policy, from)
      this.filled = surface.traits
    }
    const variant = this.variantFor(surface, cohort, from.user)
    this.policy = variant.name
    this.rules = variant.rules
    variant.drawer.draw(this.traits, randomFrom(this.seed), this.slate)
    return this.slate
  }

  private variantFor({ policy, variants }: Surface, cohort: string, user: User | null): Variant {
    const { options } = this
    if (user !== null && isHoldout(user.id, options)) return variants.holdout()
    const { epsilons, explorePerDay, number, name } = policy
    let bucket = 0
    if (epsilons.length > 1) {
      const context = user?.scratch.contextHash ?? cohortHash(cohort)
      bucket = bucketOf(options['explore.salt'], name, context, epsilons.length)
    }
    const left =
      user === null || explorePerDay === Number.POSITIVE_INFINITY
        ? Number.POSITIVE_INFINITY
        : budgetLeft(explorePerDay, user.scratch.explored, user.lastSeenAt, number)
    return variants.of(bucket, Math.min(left, policy.explorePerList))
  }

  idOf(candidate: number): string {
    return this.items.idOf(this.drawable[candidate])
  }

  sourceOf(candidate: number): number {
    return this.drawableSource[candidate]
  }

  itemOf(candidate: number): number {
    return this.drawable[candidate]
  }

  /** Where a drawn candidate stands among those that were scored. */
  placeOf(candidate: number): number {
    return this.drawableAt[candidate]
  }

  /** Restricted items are no candidates where the surface must not show them. */
  private fill(policy: SurfacePolicy, { candidates, logits, now }: Prepared): void {
    const { traits, items, groups } = this
    const { rules, restricted, youngerThanMs } = policy
    const freshFrom = youngerThanMs > 0 ? now - youngerThanMs : Number.POSITIVE_INFINITY
    const isMarked = this.options['topk.policies'].groups.length > 0
    const anyFinite = hasFinite(logits, candidates.count)
    this.drawable.length = 0
    this.drawableSource.length = 0
    this.drawableAt.length = 0
    let n = 0
    for (let i = 0; i < candidates.count; i++) {
      const item = candidates.items[i]
      const entry = items.catalog(item)
      if (!restricted && entry?.safety === 'restricted') continue
      let logit = logits[i]
      if (!(logit > -largestLogit && logit < largestLogit)) {
        if (anyFinite && !Number.isFinite(logit)) continue
        logit = anyFinite ? Math.sign(logit) * largestLogit : 0
      }
      traits.logit[n] = logit
      traits.creator[n] = entry?.creator ?? -1
      traits.topic[n] = entry?.topics[0] ?? -1
      let marks = isMarked ? groups.of(entry) : 0
      if (entry !== undefined && entry.publishedAt > freshFrom) marks |= FRESH
      if (candidates.source[i] === explore) marks |= EXPLORED
      traits.marks[n] = marks
      if (rules.mmr > 0) this.unitVector(item, n)
      if (rules.policy === 'thompson') this.addRate(item, n, rules.rateWeight)
      this.drawable.push(item)
      this.drawableSource.push(candidates.source[i])
      this.drawableAt.push(i)
      n++
    }
    traits.count = n
  }

  /** The rate's posterior, and what it is expected to be: log-odds of its mean, weighed beside the logit. */
  private addRate(item: number, candidate: number, weight: number): void {
    const { traits } = this
    const { alpha, beta } = ratePosterior(this.items, item)
    traits.alpha[candidate] = alpha
    traits.beta[candidate] = beta
    const odds = Math.log(alpha / beta)
    traits.logit[candidate] = rounded(traits.logit[candidate] + weight * odds)
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

/** Beta distribution of the item's positives per impression. */
export function ratePosterior(items: ItemTable, item: number): { alpha: number; beta: number } {
  const { a, b } = items.betaPrior
  const shown = items.impressions(item)
  const liked = Math.min(items.positives(item), shown)
  return { alpha: liked + a, beta: shown - liked + b }
}

function hasFinite(logits: Float64Array, count: number): boolean {
  for (let i = 0; i < count; i++) if (Number.isFinite(logits[i])) return true
  return false
}
