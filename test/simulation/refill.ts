/** Views that are written again because the store lost them: a slice a commit, as the stages of the application do it. */

/** Few, so that an owner may die between any two. */
const REFILLED_A_COMMIT = 2

export class Refill {
  private left: string[] | undefined

  /** Called again: from the start. */
  begin(words: Iterable<string>): void {
    this.left = [...words]
  }

  get isUnderWay(): boolean {
    return this.left !== undefined
  }

  /** What the commit that is being made writes again. */
  next(): readonly string[] {
    const { left = [] } = this
    const slice = left.splice(0, REFILLED_A_COMMIT)
    if (left.length === 0) this.left = undefined
    return slice
  }
}

/** Readers miss a word at once whose last event stands so near to the newest that the task knows. */
const ACTIVE_OFFSETS = 40

/** Words that a refill must bring back. They change only by events, which write their views anyhow. */
export function activeWords<Row extends { readonly lastOffset: number; readonly count: number }>(
  rows: ReadonlyMap<string, Row>,
): string[] {
  let newest = 0
  for (const { lastOffset } of rows.values()) newest = Math.max(newest, lastOffset)
  return [...rows]
    .filter(([, { count, lastOffset }]) => count > 0 && lastOffset >= newest - ACTIVE_OFFSETS)
    .map(([word]) => word)
}
