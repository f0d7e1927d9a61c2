/**
 * Sums of scores and what came of them, under both readings of a score: as a probability and as a logit. Which one holds is
 * asked when a window is written (options.ts), so the sums do not depend on the order in which scores come.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { addAt, limbs, mergeAt, readAt, valueAt, writeAt } from '../ledger/exact-sum.ts'

/** Log loss is finite where a score was certain and wrong: probabilities are held this far from 0 and 1. */
const leastProbability = 1e-15

export type Reading = 'probability' | 'logit'

const fields = 3
const predicted = 0
const brier = limbs
const loss = 2 * limbs
const ofLogit = fields * limbs

/** What is known of the scores of a window under one reading. */
export interface Totals {
  readonly n: number
  readonly positives: number
  readonly sumPrediction: number
  readonly sumBrier: number
  readonly sumLogLoss: number
}

/** What a score and its label add. One object is reused. */
export interface ScoreTerms {
  score: number
  y: 0 | 1
  /** Within [0, 1]: then `brier` and `loss` take the score as it is. */
  isUnit: boolean
  brier: number
  loss: number
  /** The score as a logit. */
  chance: number
  chanceBrier: number
  chanceLoss: number
}

const terms: ScoreTerms = {
  score: 0,
  y: 0,
  isUnit: false,
  brier: 0,
  loss: 0,
  chance: 0,
  chanceBrier: 0,
  chanceLoss: 0,
}

/** Of a finite score; valid until the next call. */
export function termsOf(score: number, positive: boolean): ScoreTerms {
  const y = positive ? 1 : 0
  const chance = sigmoid(score)
  terms.score = score
  terms.y = y
  terms.chance = chance
  terms.chanceBrier = (chance - y) * (chance - y)
  terms.chanceLoss = logLoss(chance, y)
  terms.isUnit = score >= 0 && score <= 1
  if (terms.isUnit) {
    terms.brier = (score - y) * (score - y)
    terms.loss = logLoss(score, y)
  }
  return terms
}

export class ScoreSums {
  /** Scores that are finite. */
  n = 0
  positives = 0
  /** Those within [0, 1]. */
  unitN = 0
  unitPositives = 0
  /** NaN or infinite. */
  bad = 0
  private readonly slots = new Float64Array(2 * fields * limbs)

  /** A finite score. */
  add(score: number, positive: boolean): void {
    this.take(termsOf(score, positive))
  }

  /** As `add`, of a score whose terms are known: an impression counts in three windows. */
  take(terms: ScoreTerms): void {
    const { y } = terms
    this.n++
    this.positives += y
    this.addTo(ofLogit, terms.chance, terms.chanceBrier, terms.chanceLoss)
    if (!terms.isUnit) return
    this.unitN++
    this.unitPositives += y
    this.addTo(0, terms.score, terms.brier, terms.loss)
  }

  private addTo(at: number, p: number, squared: number, lost: number): void {
    const { slots } = this
    addAt(slots, at + predicted, p)
    addAt(slots, at + brier, squared)
    addAt(slots, at + loss, lost)
  }

  merge(other: ScoreSums): void {
    this.n += other.n
    this.positives += other.positives
    this.unitN += other.unitN
    this.unitPositives += other.unitPositives
    this.bad += other.bad
    for (let at = 0; at < this.slots.length; at += limbs) mergeAt(this.slots, at, other.slots, at)
  }

  /** As probabilities: of the scores within [0, 1]. As logits: of all. */
  totals(reading: Reading): Totals {
    const at = reading === 'probability' ? 0 : ofLogit
    const [n, positives] =
      reading === 'probability' ? [this.unitN, this.unitPositives] : [this.n, this.positives]
    return {
      n,
      positives,
      sumPrediction: valueAt(this.slots, at + predicted),
      sumBrier: valueAt(this.slots, at + brier),
      sumLogLoss: valueAt(this.slots, at + loss),
    }
  }

  write(w: ByteWriter): void {
    w.uint(this.n).uint(this.positives).uint(this.unitN).uint(this.unitPositives).uint(this.bad)
    for (let at = 0; at < this.slots.length; at += limbs) writeAt(this.slots, at, w)
  }

  /** Adds what was written; to sums of nothing it is a restore. */
  read(r: ByteReader): void {
    this.n += r.uint()
    this.positives += r.uint()
    this.unitN += r.uint()
    this.unitPositives += r.uint()
    this.bad += r.uint()
    for (let at = 0; at < this.slots.length; at += limbs) readAt(this.slots, at, r)
  }
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

function logLoss(p: number, y: number): number {
  const held = Math.min(1 - leastProbability, Math.max(leastProbability, p))
  return y === 1 ? -Math.log(held) : -Math.log1p(-held)
}
