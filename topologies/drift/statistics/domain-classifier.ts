/**
 * Can a classifier tell two samples of vectors apart? Fisher's linear discriminant with a ridge, cross-fitted: in each of two
 * folds it scores what the other one taught it, and the AUCs are averaged by pairs. .5: it cannot; 1: always. Nothing is
 * drawn: folds, and the projection of long vectors, are hashes of the seed and a row's place.
 *
 * Cost: rows x dimensions^2; vectors longer than `maxDimensions` are projected to so many by random signs (Achlioptas 2003),
 * which keeps distances to some 10%.
 */
import { randomFrom } from '../../../streams/serde/hash.ts'
import { auc } from './auc.ts'

const folds = 2
const maxDimensions = 64
/** Rows that each side must have: a fold must teach something. */
export const minVectors = 20
/** Part of the mean variance that is added to each: rows may be fewer than dimensions. */
const ridge = 0.1

/** Vectors of one length, finite; each side has `minVectors`. */
export function domainAuc(
  reference: readonly ArrayLike<number>[],
  current: readonly ArrayLike<number>[],
  seed: number,
): number {
  const project = projection(reference[0].length, seed)
  const sides = [reference, current].map((side, s) =>
    inFolds(side.map(project), randomFrom(seed + s + 1)),
  )
  let sum = 0
  let pairs = 0
  for (let fold = 0; fold < folds; fold++) {
    const taught = sides.map(side => side.filter((_, other) => other !== fold).flat())
    const weights = discriminant(taught[0], taught[1])
    const score = (row: Float64Array): number => dot(row, weights)
    const [negative, positive] = sides.map(side => side[fold].map(score))
    const weight = negative.length * positive.length
    sum += auc(negative, positive) * weight
    pairs += weight
  }
  return sum / pairs
}

/** A random half of the rows each. */
function inFolds(rows: Float64Array[], random: () => number): Float64Array[][] {
  const order = rows.map(row => ({ row, at: random() })).sort((a, b) => a.at - b.at)
  return Array.from({ length: folds }, (_, fold) =>
    order.filter((_, i) => i % folds === fold).map(({ row }) => row),
  )
}

function projection(length: number, seed: number): (row: ArrayLike<number>) => Float64Array {
  // the constructor copies; `from` walks an iterator
  if (length <= maxDimensions) return row => new Float64Array(row)
  const random = randomFrom(seed)
  const signs = Int8Array.from({ length: length * maxDimensions }, () => (random() < 0.5 ? -1 : 1))
  return row => {
    const to = new Float64Array(maxDimensions)
    for (let k = 0; k < maxDimensions; k++)
      for (let i = 0; i < length; i++) to[k] += signs[k * length + i] * row[i]
    return to
  }
}

/** (S + ridge)^-1 (mean of positives - mean of negatives), S being the pooled covariance. */
function discriminant(negative: Float64Array[], positive: Float64Array[]): Float64Array {
  const d = negative[0].length
  const means = [negative, positive].map(side => meanOf(side))
  const s = new Float64Array(d * d)
  ;[negative, positive].forEach((side, c) => {
    const centred = new Float64Array(d)
    for (const row of side) {
      for (let i = 0; i < d; i++) centred[i] = row[i] - means[c][i]
      for (let i = 0; i < d; i++)
        for (let j = 0; j <= i; j++) s[i * d + j] += centred[i] * centred[j]
    }
  })
  const n = negative.length + positive.length
  let trace = 0
  for (let i = 0; i < d; i++) trace += s[i * d + i] / n
  // without any variance every direction counts alike
  const extra = (ridge * trace) / d || 1
  for (let i = 0; i < d; i++)
    for (let j = 0; j <= i; j++) s[i * d + j] = s[i * d + j] / n + (i === j ? extra : 0)
  const difference = means[1].map((value, i) => value - means[0][i])
  return solve(s, difference)
}

export function meanOf(rows: readonly ArrayLike<number>[]): Float64Array {
  const mean = new Float64Array(rows[0].length)
  for (const row of rows) for (let i = 0; i < mean.length; i++) mean[i] += row[i] / rows.length
  return mean
}

/** x of S x = b for the lower half of a positive definite S, which is overwritten (Cholesky). */
function solve(s: Float64Array, b: Float64Array): Float64Array {
  const d = b.length
  const x = b.slice()
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = s[i * d + j]
      for (let k = 0; k < j; k++) sum -= s[i * d + k] * s[j * d + k]
      s[i * d + j] = i === j ? Math.sqrt(sum) : sum / s[j * d + j]
    }
    for (let k = 0; k < i; k++) x[i] -= s[i * d + k] * x[k]
    x[i] /= s[i * d + i]
  }
  for (let i = d - 1; i >= 0; i--) {
    for (let k = i + 1; k < d; k++) x[i] -= s[k * d + i] * x[k]
    x[i] /= s[i * d + i]
  }
  return x
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
