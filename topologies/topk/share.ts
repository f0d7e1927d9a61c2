/**
 * Numbers of the feature registry's shares, log(s n / sum s + delta) - log delta, which whoever computes one must agree on;
 * 0 for all where sum s <= leastSum: a short half-life on a sparse stream underflows there.
 */
export const shareDelta = 0.05
export const logShareDelta = Math.log(shareDelta)
export const leastSum = 1e-20
