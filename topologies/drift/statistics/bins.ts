/**
 * Bins of equal width over raw values, as numpy makes them (`histogram_bin_edges`, `histogram`): the number of bins by
 * Sturges' (1926), Doane's (1976) or Freedman and Diaconis' (1981) rule, bin i = [edges[i], edges[i+1]), the last one
 * closed. Values are finite; those outside the edges are in no bin.
 */

/** The first and last edge: least and greatest value; half a unit around a constant. null without values. */
export function range(values: ArrayLike<number>): [low: number, high: number] | null {
  if (values.length === 0) return null
  let low = values[0]
  let high = values[0]
  for (let i = 1; i < values.length; i++) {
    if (values[i] < low) low = values[i]
    if (values[i] > high) high = values[i]
  }
  return low === high ? [low - 0.5, high + 0.5] : [low, high]
}

/** `bins` + 1 edges; null where neighbouring ones would be one and the same number, or beyond what a double holds. */
export function edgesBetween(low: number, high: number, bins: number): Float64Array | null {
  const step = (high - low) / bins
  const edges = Float64Array.from({ length: bins + 1 }, (_, i) => i * step + low)
  edges[bins] = high
  for (let i = 0; i < bins; i++) if (!(edges[i] < edges[i + 1])) return null
  return Number.isFinite(step) ? edges : null
}

/** Number of bins of a width over the range: at least one; one where the width is 0. */
function binsOf(width: number, [low, high]: readonly [number, number]): number {
  return width > 0 ? Math.max(1, Math.ceil((high - low) / width)) : 1
}

/** The values' own spread: 0 for a constant, whatever its edges are. */
function spread(values: ArrayLike<number>): number {
  const ends = range(values)
  return ends === null || isConstant(values) ? 0 : ends[1] - ends[0]
}

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false
  return true
}

const sturgesWidth = (values: ArrayLike<number>): number =>
  spread(values) / (Math.log2(values.length) + 1)

/** Skewness widens the count of bins. */
function doaneWidth(values: ArrayLike<number>): number {
  const n = values.length
  if (n < 3) return 0
  const { mean, deviation } = moments(values)
  if (deviation === 0) return 0
  let cubes = 0
  for (let i = 0; i < n; i++) cubes += ((values[i] - mean) / deviation) ** 3
  const error = Math.sqrt((6 * (n - 2)) / ((n + 1) * (n + 3)))
  return spread(values) / (1 + Math.log2(n) + Math.log2(1 + Math.abs(cubes / n) / error))
}

/** The narrower of Freedman and Diaconis' width and Sturges'; the latter where the middle half is one value. */
function autoWidth(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort()
  const middle = quantile(sorted, 0.75) - quantile(sorted, 0.25)
  const width = 2 * middle * values.length ** (-1 / 3)
  return width > 0 ? Math.min(width, sturgesWidth(values)) : sturgesWidth(values)
}

const widths = { sturges: sturgesWidth, doane: doaneWidth, auto: autoWidth }

/** Number of bins by a rule, and their ends. null without values. */
export function binning(
  values: ArrayLike<number>,
  rule: keyof typeof widths,
): { low: number; high: number; bins: number } | null {
  const ends = range(values)
  if (ends === null) return null
  return { low: ends[0], high: ends[1], bins: binsOf(widths[rule](values), ends) }
}

/** Values by bin. */
export function countsIn(edges: ArrayLike<number>, values: ArrayLike<number>): Float64Array {
  const bins = edges.length - 1
  const counts = new Float64Array(bins)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value < edges[0] || value > edges[bins]) continue
    let low = 0
    let high = bins
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (edges[middle] <= value) low = middle
      else high = middle
    }
    counts[low]++
  }
  return counts
}

/** The quantile of sorted values, linear between them (Hyndman & Fan's type 7, numpy's default). */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = q * (sorted.length - 1)
  const below = Math.floor(at)
  const part = at - below
  const a = sorted[below]
  const b = sorted[Math.min(below + 1, sorted.length - 1)]
  // numpy counts from the nearer end
  return part < 0.5 ? a + (b - a) * part : b - (b - a) * (1 - part)
}

/** Mean and standard deviation (over n, not n - 1). NaN without values. */
export function moments(values: ArrayLike<number>): { mean: number; deviation: number } {
  const n = values.length
  let sum = 0
  for (let i = 0; i < n; i++) sum += values[i]
  const mean = sum / n
  let squares = 0
  for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2
  return { mean, deviation: Math.sqrt(squares / n) }
}
