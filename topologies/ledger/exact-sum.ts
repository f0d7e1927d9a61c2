/**
 * Sums of real numbers that do not depend on the order or the grouping of the additions: a number is taken as a whole number
 * of 2^-64, and whole numbers are summed exactly, in three limbs with the units 2^16, 2^-24 and 2^-64 (after Kulisch,
 * "Computer Arithmetic and Validity", 2008: a long accumulator, here as long as the figures need).
 *
 *  - E1 What a sum holds is a function of the multiset of numbers that were added less those subtracted.
 *  - E2 A number of magnitude 2^-12 or more is taken as it is; a smaller one to the nearest 2^-64.
 *  - E3 Numbers up to 2^56 are taken, and sums up to 2^67 are exact. What is not finite, or larger, is not taken: the call
 *       says so, and the caller counts it apart.
 *
 * Many sums side by side stand in one Float64Array, three slots each (`addAt`, `mergeAt`, ...); `ExactSum` is one by itself.
 * Hot: an addition is a few flops without a branch that is taken.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

/** Slots of one sum in an array. */
export const limbs = 3
const largest = 2 ** 56
const radix = 2 ** 40
const highUnit = 2 ** 16
const middleUnit = 2 ** -24
const lowUnit = 2 ** -64
/** Beyond it a limb is carried: two of them still add up exactly. */
const carryAt = 2 ** 51

/** Adds `x` to the sum at slot `at`. False: it is not finite or too large, and was not added. */
export function addAt(slots: Float64Array, at: number, x: number): boolean {
  if (!(x <= largest && x >= -largest)) return false
  const high = Math.round(x / highUnit)
  // exact: what is left is a multiple of the last place of x
  const rest = x - high * highUnit
  const middle = Math.round(rest / middleUnit)
  const low = Math.round((rest - middle * middleUnit) / lowUnit)
  slots[at] += high
  slots[at + 1] += middle
  slots[at + 2] += low
  carry(slots, at)
  return true
}

/** Adds (`by` 1) or takes away (`by` -1) the sum at `fromAt` of `from`. */
export function mergeAt(
  slots: Float64Array,
  at: number,
  from: Float64Array,
  fromAt: number,
  by: 1 | -1 = 1,
): void {
  slots[at] += by * from[fromAt]
  slots[at + 1] += by * from[fromAt + 1]
  slots[at + 2] += by * from[fromAt + 2]
  carry(slots, at)
}

/** The sum as a double. */
export function valueAt(slots: Float64Array, at: number): number {
  settle(slots, at)
  return slots[at] * highUnit + (slots[at + 1] * middleUnit + slots[at + 2] * lowUnit)
}

export function isZeroAt(slots: Float64Array, at: number): boolean {
  settle(slots, at)
  return slots[at] === 0 && slots[at + 1] === 0 && slots[at + 2] === 0
}

/** 3 to 24 bytes, the same for equal sums. */
export function writeAt(slots: Float64Array, at: number, w: ByteWriter): void {
  settle(slots, at)
  w.int(slots[at])
    .int(slots[at + 1])
    .int(slots[at + 2])
}

/** Adds what `writeAt` wrote; into an empty slot it is a restore. */
export function readAt(slots: Float64Array, at: number, r: ByteReader): void {
  slots[at] += r.int()
  slots[at + 1] += r.int()
  slots[at + 2] += r.int()
  carry(slots, at)
}

function carry(slots: Float64Array, at: number): void {
  const low = slots[at + 2]
  const middle = slots[at + 1]
  if (low < carryAt && low > -carryAt && middle < carryAt && middle > -carryAt) return
  settle(slots, at)
}

/** The one form of a sum: the lower limbs within half a unit of the next. */
function settle(slots: Float64Array, at: number): void {
  for (let k = at + 2; k > at; k--) {
    const up = Math.floor(slots[k] / radix + 0.5)
    // no -0: a row must be the same for equal sums
    slots[k] = slots[k] - up * radix + 0
    slots[k - 1] = slots[k - 1] + up + 0
  }
}

export class ExactSum {
  private readonly slots = new Float64Array(limbs)

  static of(numbers: Iterable<number>): ExactSum {
    const sum = new ExactSum()
    for (const x of numbers) sum.add(x)
    return sum
  }

  static read(r: ByteReader): ExactSum {
    const sum = new ExactSum()
    readAt(sum.slots, 0, r)
    return sum
  }

  /** False: `x` is not finite or too large, and was not added. */
  add(x: number): boolean {
    return addAt(this.slots, 0, x)
  }

  /** Takes away a number that was added. */
  subtract(x: number): boolean {
    return addAt(this.slots, 0, -x)
  }

  merge(other: ExactSum, by: 1 | -1 = 1): void {
    mergeAt(this.slots, 0, other.slots, 0, by)
  }

  get value(): number {
    return valueAt(this.slots, 0)
  }

  get isZero(): boolean {
    return isZeroAt(this.slots, 0)
  }

  write(w: ByteWriter): void {
    writeAt(this.slots, 0, w)
  }
}
