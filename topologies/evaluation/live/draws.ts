/**
 * Sampled lists that are served, with the chances that other temperatures would have had along them, until the outcomes of their
 * impressions are known. In memory alone: a restart forgets those that are not judged yet.
 *
 *  - V1 Chances are computed at the draw, from the candidates that it was made from: nothing later can know them.
 *  - V2 A list is found by user, surface and version, so by exactly one draw; a newer draw of the same commit takes its place.
 *  - V3 At most `most` are kept. The oldest go first, unjudged, and are counted.
 */
import type { ItemTable } from '../../items/table.ts'
import { ratePosterior } from '../../topk/draw.ts'
import type { Recommender } from '../../topk/recommend.ts'
import { ForcedDraw } from '../forced-draw.ts'
import { type JudgedList, metrics, mostPositions } from './columns.ts'

export interface KeptDraw extends JudgedList {
  readonly userId: string
  readonly surface: string
  readonly cohort: string
  readonly policy: string
  version: string
  /** Items by position, down to `mostPositions`. */
  readonly items: Int32Array
  shown: number
  /** 1: an impression came; 2: its outcome is known. By position. */
  readonly state: Uint8Array
  /** Impressions whose outcome is not known. */
  waiting: number
  /** Event times of the first and the newest impression, ms; 0: none. */
  firstShownAt: number
  lastShownAt: number
  /** Position from which on nothing is looked at: an impression there had no propensity. */
  cut: number
}

export interface DrawMemory {
  readonly items: ItemTable
  readonly factors: readonly number[]
  readonly most: number
}

/** Newest lists whose impressions may still come are kept so many a user. */
const mostOfUser = 16

export class SampledDraws {
  private readonly memory: DrawMemory
  private readonly byUser = new Map<string, KeptDraw[]>()
  private readonly drawnFor = new Map<string, KeptDraw[]>()
  private forced = new ForcedDraw(256)
  private kept = 0
  /** Went unjudged since the last look. */
  private evicted = 0

  constructor(memory: DrawMemory) {
    this.memory = memory
  }

  get size(): number {
    return this.kept
  }

  takeEvicted(): number {
    const { evicted } = this
    this.evicted = 0
    return evicted
  }

  /** A list was drawn. @param sampled false: it only takes the place of one that was. */
  drawn(
    user: { readonly id: string; readonly cohort: string },
    surface: string,
    recommender: Recommender,
    sampled: boolean,
  ): void {
    const before = this.drawnFor.get(user.id)
    if (before === undefined && !sampled) return
    const others = (before ?? []).filter(draw => draw.surface !== surface)
    if (sampled && recommender.slate.count > 0 && this.memory.most > 0)
      others.push(this.made(user, surface, recommender))
    this.drawnFor.set(user.id, others)
  }

  /** The user's lists leave with the next commit, as `version`. */
  left(userId: string, version: string): void {
    const drawn = this.drawnFor.get(userId)
    if (drawn === undefined) return
    this.drawnFor.delete(userId)
    for (const draw of drawn) {
      draw.version = version
      const own = this.byUser.get(userId)
      this.kept++
      if (own === undefined) {
        this.byUser.set(userId, [draw])
        continue
      }
      own.push(draw)
      if (own.length > mostOfUser) {
        const unseen = own.findIndex(each => each.firstShownAt === 0)
        this.drop(own[Math.max(0, unseen)])
      }
    }
    this.makeRoom()
  }

  /** Whatever did not leave with the commit goes to nobody. */
  endCommit(): void {
    this.drawnFor.clear()
  }

  find(userId: string, surface: string, version: string): KeptDraw | undefined {
    return this.byUser
      .get(userId)
      ?.find(draw => draw.version === version && draw.surface === surface)
  }

  drop(draw: KeptDraw): void {
    const own = this.byUser.get(draw.userId)
    const at = own?.indexOf(draw) ?? -1
    if (own === undefined || at < 0) return
    this.kept--
    if (own.length === 1) this.byUser.delete(draw.userId)
    else own.splice(at, 1)
  }

  /** The user's data is removed. */
  forget(userId: string): void {
    this.drawnFor.delete(userId)
    this.kept -= this.byUser.get(userId)?.length ?? 0
    this.byUser.delete(userId)
  }

  private makeRoom(): void {
    while (this.kept > this.memory.most) {
      const oldest = this.byUser.values().next().value
      if (oldest === undefined) return
      const [draw] = oldest
      if (draw.firstShownAt > 0) this.evicted++
      this.drop(draw)
    }
  }

  private made(
    user: { readonly id: string; readonly cohort: string },
    surface: string,
    recommender: Recommender,
  ): KeptDraw {
    const { items, factors } = this.memory
    const { slate, traits, rules, policy, surfaces } = recommender
    const count = Math.min(slate.count, mostPositions)
    const own = surfaces.find(({ name }) => name === surface)
    const temperature = own?.rules.temperature ?? 0
    const rates = Float64Array.from({ length: traits.count }, (_, i) => {
      const { alpha, beta } = ratePosterior(items, recommender.itemOf(i))
      return alpha / (alpha + beta)
    })
    const picked = slate.picked.subarray(0, count)
    if (traits.count > this.forced.chances.length) this.forced = new ForcedDraw(2 * traits.count)
    const { forced } = this
    const targets = factors.map(factor => {
      const ratio = new Float64Array(count)
      const expected = new Float64Array(count)
      const target = {
        ...rules,
        policy: 'plackett-luce' as const,
        temperature: factor * temperature,
      }
      forced.run(traits, target, picked, count, k => {
        ratio[k] = forced.chances[picked[k]] / slate.p[k]
        for (let i = 0; i < traits.count; i++) expected[k] += forced.chances[i] * rates[i]
        // below what the target cannot show every weight is 0
        return ratio[k] > 0
      })
      return { ratio, expected }
    })
    return {
      userId: user.id,
      surface,
      cohort: user.cohort,
      policy,
      version: '',
      items: Int32Array.from(picked, candidate => recommender.itemOf(candidate)),
      rate: Float64Array.from(picked, candidate => rates[candidate]),
      targets,
      rewards: metrics.map(() => new Float64Array(count)),
      shown: 0,
      state: new Uint8Array(count),
      waiting: 0,
      firstShownAt: 0,
      lastShownAt: 0,
      cut: count,
    }
  }
}
