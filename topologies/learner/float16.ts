/**
 * IEEE 754 binary16: how learnt vectors travel. Half the bytes of float32 at a relative error below 2^-11 for
 * magnitudes from 2^-14 to 65,504, which is far below what a step of the learner moves.
 */
const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** The 16 bits nearest to `value` (ties to even). Beyond 65,520 it is an infinity; every NaN becomes 0x7e00. */
export function toFloat16(value: number): number {
  float[0] = value
  const word = bits[0]
  const sign = (word >>> 16) & 0x8000
  const magnitude = word & 0x7fffffff
  if (magnitude > 0x7f800000) return 0x7e00
  // 65,520 and above round to infinity
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude >= 0x38800000) {
    // normal: rebias the exponent by 112, then round away the lowest 13 bits; a carry runs into the exponent as it should
    const rebiased = magnitude - 0x38000000
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13)
  }
  // 2^-25 and below round to zero
  if (magnitude <= 0x33000000) return sign
  const shift = 126 - (magnitude >>> 23)
  const mantissa = (magnitude & 0x7fffff) | 0x800000
  const half = 1 << (shift - 1)
  return sign | ((mantissa + half - 1 + ((mantissa >>> shift) & 1)) >>> shift)
}

/** The number that 16 bits stand for. */
export function fromFloat16(half: number): number {
  const exponent = (half >>> 10) & 0x1f
  const mantissa = half & 0x3ff
  const magnitude =
    exponent === 0
      ? mantissa * 2 ** -24
      : exponent === 31
        ? mantissa === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : (mantissa + 1024) * 2 ** (exponent - 25)
  return half & 0x8000 ? -magnitude : magnitude
}
