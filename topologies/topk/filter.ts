/**
 * What may never be listed, and what weighs less: withdrawn, blocked, expired, unknown items (`listable`); what the user
 * finished, hid, disliked or reported (`excludes`); items shown again and again without a watch; and, either way, what
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

export class Filter implements Admission {
  private readonly items: ItemTable
  private readonly fatigue: boolean
  private user: User | null = null
  private now = 0

  constructor(items: ItemTable, fatigue: boolean) {
    this.items = items
    this.fatigue = fatigue
  }

  /** @param now processing time, ms: what is expired then is not listed. */
  begin(user: User | null, now: number): void {
    this.user = user
    this.now = now
  }

  admits(item: number): boolean {
    if (!this.items.listable(item, this.now)) return false
    const { user } = this
    if (user === null) return true
    if (user.excludes(item)) return false
    return !this.fatigue || user.shown.last24h(item, user.lastSeenAt) < fatigueLimit
  }

  /** Logarithm of the weight that fatigue and feedback on the creator leave the item. */
  logWeight(item: number): number {
    const { user } = this
    if (user === null) return 0
    const creator = this.items.catalog(item)?.creator ?? -1
    const creatorWeight = creator < 0 ? 1 : user.creatorWeight(creator)
    const impressions = this.fatigue ? user.shown.last7d(item, user.lastSeenAt) : 0
    return impressions * logFatigue + (creatorWeight === 1 ? 0 : Math.log(creatorWeight))
  }
}
