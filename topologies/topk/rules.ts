/**
 * What a slate obeys, and what the rules look at. The rules stand in order of strength; where they cannot all be kept at a
 * position, the weaker gives way there and is asked again at the next:
 *
 *  1. caps (`creatorCap`, `caps`): never give way; they may end the list early, and are at least 1, so that it is not empty
 *  2. the exploration budget (`exploreMost`)
 *  3. floors, the first declared before the second, the freshness floor last
 *  4. `topicRun`
 */

/** At least `share` of the first L positions, rounded down, for every L above `after`. */
export interface Floor {
  /** Bit of the group in `Traits.marks`. */
  readonly mark: number
  readonly share: number
  readonly after: number
}

/** At most `most` of the list's positions. */
export interface Cap {
  readonly mark: number
  readonly most: number
}

export interface SlateRules {
  readonly size: number
  readonly policy: 'plackett-luce' | 'epsilon' | 'thompson'
  /** plackett-luce; 0: always the best. */
  readonly temperature: number
  readonly epsilon: number
  /** Penalty in logits at likeness 1, to items in the first `mmrPositions`. */
  readonly mmr: number
  readonly mmrPositions: number
  /** 0: no cap. */
  readonly creatorCap: number
  /** 0: no limit. */
  readonly topicRun: number
  readonly caps: readonly Cap[]
  readonly floors: readonly Floor[]
  /** At least `atLeast` of the first `ofFirst` positions are marked FRESH. */
  readonly fresh: { readonly atLeast: number; readonly ofFirst: number } | null
  /** Explored positions of a list at most: picked by chance against the best estimate, or of the source `explore`. */
  readonly exploreMost: number
  /** thompson: how many samples of each rate, and what a unit of log-odds weighs beside the logit. */
  readonly samples: number
  readonly rateWeight: number
}

/** Groups take the bits from 0 on. */
export const MOST_GROUPS = 24
export const FRESH = 1 << 24
/** Of the source `explore`: shown to be learnt from, whatever the policy. */
export const EXPLORED = 1 << 25

/** What the rules look at. Filled per list; `count` are valid. */
export class Traits {
  count = 0
  readonly logit: Float64Array
  /** -1: unknown, never capped. */
  readonly creator: Int32Array
  /** First topic; -1: none, never limited. */
  readonly topic: Int32Array
  /** Groups, FRESH, EXPLORED. */
  readonly marks: Uint32Array
  /** The rate's Beta posterior: read by thompson alone. */
  readonly alpha: Float64Array
  readonly beta: Float64Array
  /** Unit vectors by candidate x dimension; all 0 where none is known: like nothing. */
  readonly vectors: Float32Array
  readonly dimension: number

  constructor(capacity: number, dimension: number) {
    this.logit = new Float64Array(capacity)
    this.creator = new Int32Array(capacity)
    this.topic = new Int32Array(capacity)
    this.marks = new Uint32Array(capacity)
    this.alpha = new Float64Array(capacity)
    this.beta = new Float64Array(capacity)
    this.vectors = new Float32Array(capacity * dimension)
    this.dimension = dimension
  }
}

/** A drawn slate; the arrays are reused, `count` are valid. */
export class Slate {
  count = 0
  /** Candidate at each position. */
  readonly picked: Int32Array
  readonly score: Float64Array
  readonly p: Float64Array
  /** 1 where chance picked something else than the best estimate (epsilon, thompson). */
  readonly explored: Uint8Array

  constructor(size: number) {
    this.picked = new Int32Array(size)
    this.score = new Float64Array(size)
    this.p = new Float64Array(size)
    this.explored = new Uint8Array(size)
  }
}
