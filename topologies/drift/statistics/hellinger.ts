/** Hellinger distance of shares over the same groups: sqrt(sum (sqrt p - sqrt q)^2 / 2), in [0, 1]. */
export function hellinger(p: ArrayLike<number>, q: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < p.length; i++) sum += (Math.sqrt(p[i]) - Math.sqrt(q[i])) ** 2
  return Math.sqrt(sum / 2)
}
