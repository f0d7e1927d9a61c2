/** Kullback-Leibler divergence of `p` from `q` in nats: sum p ln(p / q). A p of 0 adds 0; a q of 0 under p > 0: infinite. */
export function kl(p: ArrayLike<number>, q: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < p.length; i++) if (p[i] > 0) sum += p[i] * Math.log(p[i] / q[i])
  return sum
}
