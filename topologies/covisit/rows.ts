/**
 * The neighbours row of the item changelog. Key: itemId. Value: layout u8, writtenAt, minute (since 1970) that the decayed
 * weights are true for, then {itemId, weight, next, recent}, strongest first. Weights are whole numbers, `weightUnit` to one
 * co-visit in a row: sums of `weight` do not depend on the order of arrival.
 *   weight = W: .8^k for each co-visit, k items apart, in either order
 *   next   = D, recent = F: .7^k where the neighbour came after, .3 x .7^k where it came before, for k below 10; decayed
 *            with a half-life of 6 h and of 336 h
 * Layout 1 had neither the minute nor the last two.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

const layout = 2

/** What the weight of two items watched one right after the other is on the log. */
export const weightUnit = 4096

/** Weight of the k-th item before a positive (k from 0), .8^k in whole parts; there are no edges beyond. */
export const positionWeights: readonly number[] = Array.from({ length: 23 }, (_, k) =>
  Math.round(weightUnit * 0.8 ** k),
)

/** Half-lives of `next` and of `recent`, minutes: 6 h and 336 h were good on three public logs, of films and of news. */
export const nextHalfLife = 6 * 60
export const recentHalfLife = 336 * 60

/** Weight of the k-th item before a positive in the order it came, and against it. */
export const directedWeights: readonly number[] = Array.from({ length: 10 }, (_, k) => 0.7 ** k)
export const againstOrder = 0.3

export interface NeighboursHead {
  layout: number
  writtenAt: number
  /** Minutes since 1970. */
  asOf: number
}

export interface NeighbourWeights {
  weight: number
  next: number
  recent: number
}

export function writeNeighboursHead(writtenAt: number, asOf: number, w: ByteWriter): void {
  w.u8(layout).uint(writtenAt).uint(asOf)
}

export function writeNeighbour(
  itemId: string,
  weight: number,
  next: number,
  recent: number,
  w: ByteWriter,
): void {
  w.string(itemId).uint(weight)
  w.uint(Math.round(next * weightUnit)).uint(Math.round(recent * weightUnit))
}

/** Reads what follows a neighbour's id. */
export function readWeights(r: ByteReader, head: NeighboursHead, into: NeighbourWeights): void {
  into.weight = r.uint()
  into.next = head.layout === 1 ? 0 : r.uint() / weightUnit
  into.recent = head.layout === 1 ? 0 : r.uint() / weightUnit
}

/** Neighbours follow to the end. Errors: CHANGELOG_NEWER for a layout that this version does not know. */
export function readNeighboursHead(r: ByteReader, into: NeighboursHead): void {
  const found = r.u8()
  if (found < 1 || found > layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a row of neighbours has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
    )
  into.layout = found
  into.writtenAt = r.uint()
  into.asOf = found === 1 ? 0 : r.uint()
}
