/**
 * The mean reward model of the doubly robust estimators: item x position means, smoothed, fitted on the users of one half and
 * asked for those of the other (cross-fitting, so that a reward never speaks for itself; Chernozhukov et al. 2018).
 *
 *   mu_k   = mean reward at position k
 *   lift_i = (sum of rewards of i + a) / (sum of mu over i's positions + a),   a = 5 mu
 *   q(i,k) = (sum of rewards of i at k + c mu_k lift_i) / (impressions of i at k + c),   c = 20
 *
 * Weights play no part: a model that is wrong costs width and not truth.
 */
import { hash53 } from '../../../streams/serde/hash.ts'

/** Impressions that an item's lift, and its lift at a position, are worth before any came. */
const priorImpressions = 5
const priorAtPosition = 20

class Counts {
  n = 0
  sum = 0

  add(reward: number): void {
    this.n++
    this.sum += reward
  }
}

class HalfModel {
  private readonly all = new Counts()
  private readonly positions: Counts[] = []
  private readonly items = new Map<string, { all: Counts; byPosition: Counts[] }>()
  private readonly lifts = new Map<string, number>()

  add(item: string, position: number, reward: number): void {
    this.all.add(reward)
    this.positions[position] ??= new Counts()
    this.positions[position].add(reward)
    let known = this.items.get(item)
    if (known === undefined) {
      known = { all: new Counts(), byPosition: [] }
      this.items.set(item, known)
    }
    known.all.add(reward)
    known.byPosition[position] ??= new Counts()
    known.byPosition[position].add(reward)
  }

  q(item: string, position: number): number {
    const prior = this.meanAt(position) * this.lift(item)
    const at = this.items.get(item)?.byPosition[position]
    if (at === undefined) return prior
    return (at.sum + priorAtPosition * prior) / (at.n + priorAtPosition)
  }

  private meanAt(position: number): number {
    const at = this.positions[position]
    const mean = this.all.n === 0 ? 0 : this.all.sum / this.all.n
    return at === undefined ? mean : (at.sum + priorAtPosition * mean) / (at.n + priorAtPosition)
  }

  private lift(item: string): number {
    const made = this.lifts.get(item)
    if (made !== undefined) return made
    const known = this.items.get(item)
    const prior = this.all.n === 0 ? 0 : (priorImpressions * this.all.sum) / this.all.n
    let expected = 0
    known?.byPosition.forEach((at, position) => {
      expected += at.n * this.meanAt(position)
    })
    const lift = expected + prior > 0 ? ((known?.all.sum ?? 0) + prior) / (expected + prior) : 1
    this.lifts.set(item, lift)
    return lift
  }
}

export class RewardModel {
  private readonly halves = [new HalfModel(), new HalfModel()] as const

  /** Every impression is added before anything is asked. */
  add(user: string, item: string, position: number, reward: number): void {
    this.halves[halfOf(user)].add(item, position, reward)
  }

  /** Users of the same half are told the same. */
  halfOf(user: string): 0 | 1 {
    return halfOf(user)
  }

  /** Mean reward of the item at the position, as told by the users of the half that `user` is not of. */
  q(user: string, item: string, position: number): number {
    return this.halves[1 - halfOf(user)].q(item, position)
  }
}

export function halfOf(user: string): 0 | 1 {
  return (hash53(`half ${user}`) % 2) as 0 | 1
}
