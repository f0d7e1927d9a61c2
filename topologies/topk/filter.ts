/**
 * What may never be listed, and what weighs less: withdrawn, blocked, expired, unknown items (`listable`); what the user
 * finished, hid, disliked or reported (`excludes`); restricted items, where no surface drawn from the candidates may show them
 * (where some may, the draw leaves them out of the others); items shown again and again without a watch; and, either way, what
 * feedback says of the creator.
 */
import type { ItemTable } from '../items/table.ts'
import type { User } from '../user/user.ts'
import type { Admission } from './retrieve/candidates.ts'

/** Weight of an item per impression without a watch within 7 d. */
const fatiguePerImpression = 0.8
/** Impressions without a watch within 24 h after which an item is left out. */
const fatigueLimit = 8

const logFatigue = Math.log(fatiguePerImpression)

/** Why an item may not be listed. `excluded`: finished, hidden, disliked or reported. */
export type Refusal = 'unlistable' | 'excluded' | 'restricted' | 'fatigue'

export class Filter implements Admission {
  private readonly items: ItemTable
  private readonly fatigue: boolean
  private readonly restricted: boolean
  private user: User | null = null
  private now = 0

  /** @param restricted some surface may show items of safety `restricted`. */
  constructor(items: ItemTable, fatigue: boolean, restricted = true) {
    this.items = items
    this.restricted = restricted
    this.fatigue = fatigue
  }

  /** @param now processing time, ms: what is expired then is not listed. */
  begin(user: User | null, now: number): void {
    this.user = user
    this.now = now
  }

  admits(item: number): boolean {
    return this.refusal(item) === undefined
  }

  refusal(item: number): Refusal | undefined {
    if (!this.items.listable(item, this.now)) return 'unlistable'
    const { user } = this
    if (user?.excludes(item)) return 'excluded'
    if (!this.restricted && this.items.catalog(item)?.safety === 'restricted') return 'restricted'
    if (user === null) return undefined
    const tires = this.fatigue && user.shown.last24h(item, user.lastSeenAt) >= fatigueLimit
    return tires ? 'fatigue' : undefined
  }

  /** Logarithm of the weight that fatigue and feedback on the creator leave the item. */
  logWeight(item: number): number {
    return this.fatigueWeight(item) + this.creatorWeight(item)
  }

  /** Of impressions without a watch alone. */
  fatigueWeight(item: number): number {
    const { user } = this
    if (user === null || !this.fatigue) return 0
    return user.shown.last7d(item, user.lastSeenAt) * logFatigue
  }

  /** Of feedback on the creator alone. */
  creatorWeight(item: number): number {
    const { user } = this
    const creator = user === null ? -1 : (this.items.catalog(item)?.creator ?? -1)
    const weight = creator < 0 ? 1 : user!.creatorWeight(creator)
    return weight === 1 ? 0 : Math.log(weight)
  }
}
