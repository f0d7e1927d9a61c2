/**
 * Sampled slates and the outcomes of their impressions as draws: the target's chances along each list come from the candidates
 * that stand in its row.
 */

import { RewardModel } from '../../topologies/evaluation/estimators/model.ts'
import type { Step } from '../../topologies/evaluation/estimators/slate.ts'
import { propensityFault } from '../../topologies/evaluation/estimators/support.ts'
import { ForcedDraw } from '../../topologies/evaluation/forced-draw.ts'
import { vectorDimension } from '../../topologies/learner/rows.ts'
import { type SlateRules, Traits } from '../../topologies/topk/rules.ts'
import type { SlateRow } from '../../topologies/topk/slates-row.ts'
import { armsOf } from '../../topologies/topk/variants.ts'
import { LeftOut } from './impressions.ts'
import type { RankedRow } from './model-logits.ts'
import type { LoggedDraw, PolicyLog } from './report.ts'

export interface SlateImpression {
  readonly item: string
  readonly propensity: number | null
  /** null: not known yet. */
  readonly reward: number | null
}

export interface ShownSlate {
  readonly user: string
  readonly row: Pick<SlateRow, 'surface' | 'candidates' | 'list' | 'propensities' | 'policy'> &
    Partial<RankedRow>
  readonly impressions: readonly SlateImpression[]
}

/**
 * Lists drawn under an arm of an experiment are left out: their candidates and logits may be another ranker's, or without
 * fatigue, and the target's chances would be computed from what it would not have seen. `arms`: they are what was asked for.
 *
 * `rulesOf`: the target's on a surface; undefined: it has none there. `logitsOf`: what it makes of a row's candidates, or why
 * it can't; absent: the logged logits.
 */
export function drawsOfSlates(
  slates: readonly ShownSlate[],
  rulesOf: (slate: ShownSlate) => SlateRules | undefined,
  logitsOf?: (row: ShownSlate['row']) => ArrayLike<number> | string,
  arms = false,
): PolicyLog {
  const leftOut = new LeftOut()
  const model = new RewardModel()
  const shown = new Set<string>()
  let capacity = 1
  for (const { user, row, impressions } of slates) {
    capacity = Math.max(capacity, row.candidates.length)
    const place = new Map(row.list.map((item, k) => [item, k]))
    for (const { item, reward } of impressions) {
      const position = place.get(item)
      shown.add(item)
      if (position !== undefined && reward !== null) model.add(user, item, position, reward)
    }
  }
  const along = new AlongList(capacity, model, shown)
  const draws: LoggedDraw[] = []
  for (const slate of slates) {
    const rules = rulesOf(slate)
    if (rules === undefined) {
      leftOut.add('the target has no such surface', slate.impressions.length)
      continue
    }
    const tag = arms ? '' : armsOf(slate.row.policy)
    if (tag !== '') {
      leftOut.add(`drawn under ${tag} of an experiment`, slate.impressions.length)
      continue
    }
    const rewards = rewardsByPosition(slate, leftOut)
    if (rewards.length === 0) continue
    const logits = logitsOf?.(slate.row)
    const steps = typeof logits === 'string' ? logits : along.steps(slate, rules, rewards, logits)
    if (typeof steps === 'string') leftOut.add(steps)
    else draws.push({ user: slate.user, steps })
  }
  return { draws, leftOut: leftOut.counts, notes: [], unsupported: along.unsupported }
}

/**
 * Down to the last that was shown; what was passed over in between earned nothing. Cut where a shown item has no propensity (the
 * reader moved or dropped something there) or no outcome yet.
 */
function rewardsByPosition({ row, impressions }: ShownSlate, leftOut: LeftOut): number[] {
  const place = new Map(row.list.map((item, k) => [item, k]))
  const rewards: (number | null | undefined)[] = []
  for (const { item, propensity, reward } of impressions) {
    const position = place.get(item)
    if (position === undefined) {
      leftOut.add('not an item of the list')
      continue
    }
    if (rewards[position] !== undefined) {
      leftOut.add('shown again from the same list')
      continue
    }
    const fault = propensityFault(propensity)
    if (fault !== undefined) leftOut.add(`propensity ${fault}`)
    else if (reward === null) leftOut.add('reward missing, or not known yet')
    rewards[position] = fault === undefined ? reward : null
  }
  const cut = rewards.indexOf(null)
  const whole = Array.from(rewards, reward => reward ?? 0)
  return cut === -1 ? whole : whole.slice(0, cut)
}

/** Goes along lists with the target's rules; arrays are reused. */
class AlongList {
  private readonly forced: ForcedDraw
  private readonly traits: Traits
  private readonly model: RewardModel
  private readonly shown: ReadonlySet<string>
  private missingMass = 0
  private asked = 0

  constructor(capacity: number, model: RewardModel, shown: ReadonlySet<string>) {
    this.forced = new ForcedDraw(capacity)
    this.traits = new Traits(capacity, vectorDimension)
    this.model = model
    this.shown = shown
  }

  get unsupported(): number | null {
    return this.asked === 0 ? null : this.missingMass / this.asked
  }

  /** Or why there are none. */
  steps(
    slate: ShownSlate,
    rules: SlateRules,
    rewards: readonly number[],
    logits: ArrayLike<number> | undefined,
  ): Step[] | string {
    const { user, row } = slate
    const { candidates, list, propensities } = row
    const { forced } = this
    const place = new Map(candidates.map(({ item }, i) => [item, i]))
    const picked = list.map(item => place.get(item) ?? -1)
    if (picked.slice(0, rewards.length).includes(-1))
      return 'a listed item is no candidate of its row'
    const wrong = propensities.slice(0, rewards.length).find(p => propensityFault(p) !== undefined)
    if (wrong !== undefined) return `propensity of the draw ${propensityFault(wrong)}`
    fillTraits(this.traits, candidates, logits)
    const steps: Step[] = []
    forced.run(this.traits, rules, picked, rewards.length, k => {
      const inSize = k < rules.size
      const chance = inSize ? forced.chances[picked[k]] : 0
      let expectedOfTarget = 0
      if (inSize) expectedOfTarget = this.expectedOfTarget(user, candidates, k)
      steps.push({
        ratio: chance / propensities[k],
        reward: rewards[k],
        expected: this.model.q(user, list[k], k),
        expectedOfTarget,
      })
      return true
    })
    return steps
  }

  private expectedOfTarget(
    user: string,
    candidates: ShownSlate['row']['candidates'],
    position: number,
  ): number {
    const { chances } = this.forced
    let expected = 0
    let mass = 0
    candidates.forEach(({ item }, i) => {
      if (chances[i] === 0) return
      expected += chances[i] * this.model.q(user, item, position)
      if (!this.shown.has(item)) mass += chances[i]
    })
    this.missingMass += mass
    this.asked++
    return expected
  }
}

/** A row's candidates as a draw takes them, with its logits or others. */
export function fillTraits(
  traits: Traits,
  candidates: ShownSlate['row']['candidates'],
  logits?: ArrayLike<number>,
): void {
  traits.count = candidates.length
  candidates.forEach(({ weight, features: [creator, topic, marks, ...vector] }, i) => {
    traits.logit[i] = logits === undefined ? weight : logits[i]
    traits.creator[i] = creator
    traits.topic[i] = topic
    traits.marks[i] = marks
    const at = i * vectorDimension
    traits.vectors.fill(0, at, at + vectorDimension)
    traits.vectors.set(vector.slice(0, vectorDimension), at)
  })
}
