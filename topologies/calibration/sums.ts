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
    const y = positive ? 1 : 0
    this.n++
    this.positives += y
    this.addTo(ofLogit, sigmoid(score), y)
    if (score < 0 || score > 1) return
    this.unitN++
    this.unitPositives += y
    this.addTo(0, score, y)
  }

  private addTo(at: number, p: number, y: number): void {
    const { slots } = this
    addAt(slots, at + predicted, p)
    addAt(slots, at + brier, (p - y) * (p - y))
    addAt(slots, at + loss, logLoss(p, y))
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

export function logLoss(p: number, y: number): number {
  const held = Math.min(1 - leastProbability, Math.max(leastProbability, p))
  return y === 1 ? -Math.log(held) : -Math.log1p(-held)
}
