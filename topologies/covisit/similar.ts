/**
 * The view `similar:<itemId>`: what to watch next.
 *
 * Hot: some 500 views a second at 50 neighbours each; without objects, and without JSON.stringify for plain ids.
 */
import type { ItemTable } from '../items/table.ts'
import type { Board } from './neighbours.ts'
import { weightUnit } from './rows.ts'

/** As with the blend's S / sqrt(cnt + 5): what everyone watches is no news, what two people watched is no proof. */
const DAMPING = 5

/**
 * The best `n` neighbours that may be listed at `now`, by W / sqrt(positives + 5), equal scores by id: the JSON body without
 * its first brace, as ViewWrite wants it. Scores have five significant digits.
 */
export function similarBody(
  item: number,
  board: Board,
  n: number,
  items: Pick<ItemTable, 'idOf' | 'positives' | 'listable'>,
  now: number,
): string {
  const found: number[] = []
  const scores = new Float64Array(board.size)
  for (let i = 0; i < board.size; i++) {
    const other = board.items[i]
    if (!items.listable(other, now)) continue
    scores[i] = board.weights[i] / weightUnit / Math.sqrt(items.positives(other) + DAMPING)
    found.push(i)
  }
  const before = (a: number, b: number): number =>
    scores[b] - scores[a] || (items.idOf(board.items[a]) < items.idOf(board.items[b]) ? -1 : 1)
  found.sort(before)
  let body = `"item":${quoted(items.idOf(item))},"at":${now},"items":[`
  for (let i = 0; i < found.length && i < n; i++) {
    const id = quoted(items.idOf(board.items[found[i]]))
    body += `${i === 0 ? '' : ','}{"id":${id},"score":${fiveDigits(scores[found[i]])}}`
  }
  return `${body}]}`
}

const plain = /^[\w.:/ -]*$/

function quoted(id: string): string {
  return plain.test(id) ? `"${id}"` : JSON.stringify(id)
}

/** Rounds a number above 0 to five significant digits; `toPrecision` costs ten times as much. */
export function fiveDigits(x: number): number {
  const digits = 4 - Math.floor(Math.log10(x))
  if (digits < 0) return Math.round(x / 10 ** -digits) * 10 ** -digits
  return Math.round(x * 10 ** digits) / 10 ** digits
}
