/** Ranges of offsets, half-open: [from, next). In a list they are sorted and do not touch. */
export type Range = readonly [from: number, next: number]

export const countOf = (ranges: readonly Range[]): number =>
  ranges.reduce((sum, [from, next]) => sum + next - from, 0)

/** Adds a range; touching ones become one. Cheap where it stands behind all others. */
export function addRange(ranges: readonly Range[], added: Range): Range[] {
  const merged: Range[] = []
  let [from, next] = added
  if (next <= from) return [...ranges]
  let placed = false
  for (const range of ranges) {
    if (range[1] < from) merged.push(range)
    else if (range[0] > next) {
      if (!placed) merged.push([from, next])
      placed = true
      merged.push(range)
    } else {
      from = Math.min(from, range[0])
      next = Math.max(next, range[1])
    }
  }
  if (!placed) merged.push([from, next])
  return merged
}

/** `12`, `12 to 14`; of many the first few. */
export function rangesText(ranges: readonly Range[], most = 5): string {
  const texts = ranges
    .slice(0, most)
    .map(([from, next]) => (next - from === 1 ? `${from}` : `${from} to ${next - 1}`))
  if (ranges.length > most) texts.push(`${ranges.length - most} more ranges`)
  return texts.join(', ')
}
