/**
 * Logged impressions as draws. Those of one request (a list version) are one draw, in order of position; where the log names no
 * requests, each is a draw of its own and the position is its circumstance.
 *
 *  - I1 A ratio needs a propensity in (0, 1] and a chance of the target in [0, 1]. Whatever else stands there is left out and
 *       counted by its reason; of a list, all below it too, since their weights are products through it.
 *  - I2 A list is whole from its first position on: from a gap down it is left out.
 */
import { RewardModel } from '../../topologies/evaluation/estimators/model.ts'
import type { Step } from '../../topologies/evaluation/estimators/slate.ts'
import { propensityFault } from '../../topologies/evaluation/estimators/support.ts'
import type { ActionTable, Chance } from './action-table.ts'
import type { LoggedDraw, PolicyLog } from './report.ts'

export interface LoggedImpression {
  readonly user: string
  /** '': none; else what makes impressions one draw. */
  readonly request: string
  readonly surface: string
  readonly item: string
  readonly position: number
  readonly propensity: number | null
  readonly reward: number | null
  /** The target's chance, where the log itself has it. */
  readonly pTarget: number | null
  /** A model's mean rewards of the item and of the target's choice, where the log itself has them. */
  readonly q: number | null
  readonly qTarget: number | null
  readonly otherWeight: number | null
}

export class LeftOut {
  readonly counts: Record<string, number> = {}

  add(reason: string, n = 1): void {
    this.counts[reason] = (this.counts[reason] ?? 0) + n
  }
}

/** `table`: the target; null: the log has its chances. */
export function drawsOf(
  impressions: readonly LoggedImpression[],
  table: ActionTable | null,
): PolicyLog {
  const leftOut = new LeftOut()
  const model = new RewardModel()
  const shown = new Set<string>()
  for (const { user, item, position, reward } of impressions) {
    shown.add(item)
    if (reward !== null && Number.isFinite(reward)) model.add(user, item, position, reward)
  }
  const expectations = new Expectations(table, model, shown)
  const first = firstPositions(impressions)
  const draws: LoggedDraw[] = []
  for (const group of grouped(impressions, leftOut)) {
    const steps: Step[] = []
    const { user, request } = group[0]
    for (const [k, impression] of group.entries()) {
      const isGap = request !== '' && impression.position !== first + k
      const why = isGap ? 'a position above is missing' : faultOf(impression, table)
      if (why !== undefined) {
        leftOut.add(why)
        if (k + 1 < group.length) leftOut.add('below one that is left out', group.length - k - 1)
        break
      }
      steps.push(expectations.step(impression))
    }
    if (steps.length > 0) draws.push({ user, steps, otherWeight: group[0].otherWeight })
  }
  return {
    draws,
    leftOut: leftOut.counts,
    notes: table?.notes ?? [],
    unsupported: expectations.unsupported,
  }
}

function firstPositions(impressions: readonly LoggedImpression[]): number {
  let first = Number.POSITIVE_INFINITY
  for (const { position } of impressions) first = Math.min(first, position)
  // lists may be counted from 0 or from 1
  return first === 1 ? 1 : 0
}

function* grouped(
  impressions: readonly LoggedImpression[],
  leftOut: LeftOut,
): IterableIterator<readonly LoggedImpression[]> {
  const lists = new Map<string, LoggedImpression[]>()
  for (const impression of impressions) {
    const { user, request, surface } = impression
    if (request === '') {
      yield [impression]
      continue
    }
    const key = JSON.stringify([user, surface, request])
    const list = lists.get(key)
    if (list === undefined) lists.set(key, [impression])
    else list.push(impression)
  }
  for (const list of lists.values()) {
    list.sort((a, b) => a.position - b.position)
    const single = list.filter((each, k) => k === 0 || each.position !== list[k - 1].position)
    if (single.length < list.length)
      leftOut.add('the same position of the request twice', list.length - single.length)
    yield single
  }
}

function faultOf(
  { propensity, reward, pTarget, position, surface, request }: LoggedImpression,
  table: ActionTable | null,
): string | undefined {
  const fault = propensityFault(propensity)
  if (fault !== undefined) return `propensity ${fault}`
  if (reward === null) return 'reward missing, or not known yet'
  if (!Number.isFinite(reward)) return 'reward not a number'
  if (table !== null)
    return table.at(position, surface, request) === undefined
      ? 'the table of chances has nothing for it'
      : undefined
  if (pTarget === null) return "the target's chance missing"
  return pTarget >= 0 && pTarget <= 1 + 1e-9 ? undefined : "the target's chance outside [0, 1]"
}

/** Ratios and what a model expects, by cell of the table. */
class Expectations {
  private readonly table: ActionTable | null
  private readonly model: RewardModel
  private readonly shown: ReadonlySet<string>
  /** What the target's choice is expected to earn: the same for all users of a half in one cell. */
  private readonly known = new Map<ReadonlyMap<string, Chance>, Map<string, number>>()
  private missingMass = 0
  private asked = 0

  constructor(table: ActionTable | null, model: RewardModel, shown: ReadonlySet<string>) {
    this.table = table
    this.model = model
    this.shown = shown
  }

  /** See `PolicyLog`. */
  get unsupported(): number | null {
    return this.table === null || this.asked === 0 ? null : this.missingMass / this.asked
  }

  step(impression: LoggedImpression): Step {
    const { item, position, surface, request, propensity, reward, pTarget } = impression
    const cell = this.table?.at(position, surface, request)
    const wanted = cell === undefined ? (pTarget ?? 0) : (cell.get(item)?.p ?? 0)
    return {
      ratio: wanted / (propensity as number),
      reward: reward as number,
      ...this.expected(impression, cell),
    }
  }

  private expected(
    { user, item, position, q, qTarget }: LoggedImpression,
    cell: ReadonlyMap<string, Chance> | undefined,
  ): Pick<Step, 'expected' | 'expectedOfTarget'> {
    if (q !== null && qTarget !== null) return { expected: q, expectedOfTarget: qTarget }
    if (cell === undefined) return { expected: null, expectedOfTarget: null }
    this.asked++
    let mass = 0
    for (const [name, { p }] of cell) if (!this.shown.has(name)) mass += p
    this.missingMass += mass
    const own = cell.get(item)?.q ?? null
    return {
      expected: own ?? this.model.q(user, item, position),
      expectedOfTarget: this.expectedOfTarget(user, position, cell),
    }
  }

  private expectedOfTarget(
    user: string,
    position: number,
    cell: ReadonlyMap<string, Chance>,
  ): number {
    const half = `${this.model.halfOf(user)} ${position}`
    let byHalf = this.known.get(cell)
    if (byHalf === undefined) {
      byHalf = new Map()
      this.known.set(cell, byHalf)
    }
    const found = byHalf.get(half)
    if (found !== undefined) return found
    let sum = 0
    for (const [name, { p, q }] of cell) sum += p * (q ?? this.model.q(user, name, position))
    byHalf.set(half, sum)
    return sum
  }
}
