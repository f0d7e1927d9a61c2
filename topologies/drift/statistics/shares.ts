/** Half a count in each group: the shares stay positive, and a group empty on both sides adds a constant next to nothing. */
export const pseudocount = 0.5

export function total(counts: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < counts.length; i++) sum += counts[i]
  return sum
}

/** Counts as shares of their sum, each count raised by `extra`. All zero: NaN, so callers ask `total` first. */
export function shares(counts: ArrayLike<number>, extra = 0): Float64Array {
  const sum = total(counts) + extra * counts.length
  return Float64Array.from(counts, count => (count + extra) / sum)
}
