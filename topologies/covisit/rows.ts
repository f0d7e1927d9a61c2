/**
 * The neighbours row of the item changelog. Key: itemId. Value: layout u8, writtenAt, then {itemId, weight}, strongest
 * first. Weights are whole numbers, `weightUnit` to one co-visit in a row: sums do not depend on the order of arrival.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

const layout = 1

/** What the weight of two items watched one right after the other is on the log. */
export const weightUnit = 4096

/** Weight of the k-th item before a positive (k from 0), .8^k in whole parts; there are no edges beyond. */
export const positionWeights: readonly number[] = Array.from({ length: 23 }, (_, k) =>
  Math.round(weightUnit * 0.8 ** k),
)

export function writeNeighboursHead(writtenAt: number, w: ByteWriter): void {
  w.u8(layout).uint(writtenAt)
}

export function writeNeighbour(itemId: string, weight: number, w: ByteWriter): void {
  w.string(itemId).uint(weight)
}

/** Reads the head and returns writtenAt; {itemId, weight} follow to the end. Errors: CHANGELOG_NEWER for another layout. */
export function readNeighboursHead(r: ByteReader): number {
  const found = r.u8()
  if (found !== layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a row of neighbours has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
    )
  return r.uint()
}
