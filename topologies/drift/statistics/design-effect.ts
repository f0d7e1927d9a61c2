/**
 * How much wider shares scatter than those of independent rows, because rows of one user are alike. Users fall into
 * shards by hash, so shards are independent of each other; D, the scatter between them relative to a multinomial's,
 *   D = S/(S-1)/n sum_s z_s z_s',  z_sb = (x_sb - n_s p_b) / sqrt(p_b),
 * has the design effects as eigenvalues (Rao & Scott 1981, shards as clusters). Their mean scales the null distribution;
 * where they are unequal the sum behaves as if there were fewer groups (Satterthwaite).
 */
export interface DesignEffect {
  /** Mean design effect. Below 1 too, by chance or because users hold one row of each kind: the threshold allows for chance. */
  readonly effect: number
  /** Groups less one, as many as they are worth: tr(D)^2 / tr(D^2), from 1 to B - 1. */
  readonly df: number
  /** Shards that hold rows. */
  readonly shards: number
}

/** Shards that must hold rows: fewer say too little about the scatter between them. */
export const minShards = 8

/** Shares that hardly scatter at all would make a threshold of nothing. */
const leastEffect = 0.2

/** `shards[s][b]`: counts. null where fewer than `minShards` hold rows. */
export function designEffect(shards: readonly ArrayLike<number>[]): DesignEffect | null {
  const groups = shards[0].length
  const sums = new Float64Array(groups)
  const sizes: number[] = []
  let n = 0
  for (const shard of shards) {
    let size = 0
    for (let b = 0; b < groups; b++) {
      sums[b] += shard[b]
      size += shard[b]
    }
    sizes.push(size)
    n += size
  }
  const filled = sizes.filter(size => size > 0).length
  if (filled < minShards) return null
  const used = [...sums.keys()].filter(b => sums[b] > 0)
  const free = used.length - 1
  if (free < 1) return { effect: 1, df: 1, shards: filled }
  const z = shards.map((shard, s) =>
    used.map(b => (shard[b] - (sizes[s] * sums[b]) / n) / Math.sqrt(sums[b] / n)),
  )
  const scale = filled / (filled - 1) / n
  let trace = 0
  let squares = 0
  for (let b = 0; b < used.length; b++)
    for (let c = 0; c < used.length; c++) {
      let d = 0
      for (const row of z) d += row[b] * row[c]
      d *= scale
      if (b === c) trace += d
      squares += d * d
    }
  // tr(D^2) of a matrix estimated with v degrees of freedom is too large; its unbiased form
  const v = filled - 1
  const unbiased = ((squares - trace ** 2 / v) * v ** 2) / ((v - 1) * (v + 2))
  const df = unbiased > 0 ? Math.min(free, Math.max(1, trace ** 2 / unbiased)) : free
  return { effect: Math.max(leastEffect, trace / free), df, shards: filled }
}
