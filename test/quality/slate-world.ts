/**
 * A small world of lists whose truth is known by enumeration: policies are Plackett-Luce over scores that depend on the kind of
 * user, clicks on taste, position and what was clicked above. Users come several times and behave alike.
 *
 *  - T1 a viewer looks from the top; a click ends the visit with chance `stopsAfterClick`, and what is below is not shown.
 *  - T2 scores know a part of taste: both policies earn more than chance, the colder one more.
 */
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { RewardModel } from '../../topologies/evaluation/estimators/model.ts'
import type { LoggedSlate, Step } from '../../topologies/evaluation/estimators/slate.ts'

export interface WorldSettings {
  readonly kinds: number
  readonly items: number
  readonly positions: number
  readonly loggedTemperature: number
  readonly targetTemperature: number
  /** Visits of a user: 1 to this many. */
  readonly visits: number
}

const stopsAfterClick = 0.5
/** Log-odds of a click fall by this a position. */
const positionBias = 0.35

export class SlateWorld {
  readonly settings: WorldSettings
  /** By kind x item. */
  private readonly scores: Float64Array
  private readonly clickChance: Float64Array

  constructor(settings: WorldSettings, seed = 1) {
    this.settings = settings
    const { kinds, items, positions } = settings
    const random = randomFrom(hash53('world', seed))
    const normal = (): number => random() + random() + random() + random() - 2
    this.scores = new Float64Array(kinds * items)
    this.clickChance = new Float64Array(kinds * items * positions)
    const quality = Array.from({ length: items }, normal)
    for (let kind = 0; kind < kinds; kind++) {
      // some users click on everything, some on nothing: what makes visits of one user alike
      const eager = 1.5 * normal()
      for (let i = 0; i < items; i++) {
        const taste = quality[i] + normal()
        this.scores[kind * items + i] = 1.7 * (0.7 * taste + 0.5 * normal())
        for (let k = 0; k < positions; k++)
          this.clickChance[(kind * items + i) * positions + k] =
            1 / (1 + Math.exp(1.4 - eager - 1.1 * taste + positionBias * k))
      }
    }
  }

  /** Clicks a list of the target, by enumeration of every list. */
  truth(temperature = this.settings.targetTemperature): number {
    const { kinds } = this.settings
    let sum = 0
    for (let kind = 0; kind < kinds; kind++) sum += this.valueBelow(kind, 0, 0, temperature)
    return sum / kinds
  }

  /** What the positions from `k` on give on average, given the set of items above. */
  private valueBelow(kind: number, taken: number, k: number, temperature: number): number {
    const { items, positions } = this.settings
    if (k === positions) return 0
    const chances = this.chances(kind, taken, temperature)
    let value = 0
    for (let i = 0; i < items; i++) {
      if (chances[i] === 0) continue
      const click = this.click(kind, i, k)
      const below = this.valueBelow(kind, taken | (1 << i), k + 1, temperature)
      value += chances[i] * (click + (1 - click * stopsAfterClick) * below)
    }
    return value
  }

  /** Chance of each item at the next position; 0 for those taken. */
  chances(kind: number, taken: number, temperature: number): Float64Array {
    const { items } = this.settings
    const chances = new Float64Array(items)
    let sum = 0
    for (let i = 0; i < items; i++) {
      if (taken & (1 << i)) continue
      chances[i] = Math.exp(this.scores[kind * items + i] / temperature)
      sum += chances[i]
    }
    for (let i = 0; i < items; i++) chances[i] /= sum
    return chances
  }

  private click(kind: number, item: number, position: number): number {
    return this.clickChance[
      (kind * this.settings.items + item) * this.settings.positions + position
    ]
  }

  /** A log of that many users, with what the estimators ask of it. */
  log(users: number, random: () => number): LoggedSlate[] {
    const { kinds, visits } = this.settings
    const model = new RewardModel()
    const seen: { user: string; kind: number; shown: Shown[] }[] = []
    for (let u = 0; u < users; u++) {
      const user = `u${u}`
      const kind = Math.floor(random() * kinds)
      for (let left = 1 + Math.floor(random() * visits); left > 0; left--) {
        const shown = this.visit(kind, random)
        for (const [k, { item, reward }] of shown.entries()) model.add(user, `${item}`, k, reward)
        seen.push({ user, kind, shown })
      }
    }
    return seen.map(({ user, kind, shown }) => ({
      user,
      steps: this.steps(user, kind, shown, model),
    }))
  }

  private visit(kind: number, random: () => number): Shown[] {
    const { positions, loggedTemperature } = this.settings
    const shown: Shown[] = []
    let taken = 0
    for (let k = 0; k < positions; k++) {
      const chances = this.chances(kind, taken, loggedTemperature)
      let left = random()
      let item = 0
      for (let i = 0; i < chances.length; i++) {
        if (chances[i] === 0) continue
        item = i
        left -= chances[i]
        if (left < 0) break
      }
      const reward = random() < this.click(kind, item, k) ? 1 : 0
      shown.push({ item, reward, taken, propensity: chances[item] })
      taken |= 1 << item
      if (reward === 1 && random() < stopsAfterClick) break
    }
    return shown
  }

  private steps(user: string, kind: number, shown: readonly Shown[], model: RewardModel): Step[] {
    return shown.map(({ item, reward, taken, propensity }, k) => {
      const wanted = this.chances(kind, taken, this.settings.targetTemperature)
      let expectedOfTarget = 0
      for (let i = 0; i < wanted.length; i++)
        if (wanted[i] > 0) expectedOfTarget += wanted[i] * model.q(user, `${i}`, k)
      return {
        ratio: wanted[item] / propensity,
        reward,
        expected: model.q(user, `${item}`, k),
        expectedOfTarget,
      }
    })
  }
}

interface Shown {
  readonly item: number
  readonly reward: number
  /** Bits of the items above. */
  readonly taken: number
  readonly propensity: number
}
