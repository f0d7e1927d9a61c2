/** The view `similar:<itemId>`: what to watch next. */
import type { ItemTable } from '../items/table.ts'
import type { Board } from './neighbours.ts'
import { weightUnit } from './rows.ts'

/** As with the blend's S / sqrt(cnt + 5): what everyone watches is no news, what two people watched is no proof. */
const DAMPING = 5

interface Similar {
  readonly id: string
  readonly score: number
}

/** The best `n` neighbours that may be listed at `now`, by W / sqrt(positives + 5); equal scores by id. */
export function similarOf(
  board: Board,
  n: number,
  items: Pick<ItemTable, 'idOf' | 'positives' | 'listable'>,
  now: number,
): Similar[] {
  const found: Similar[] = []
  for (let i = 0; i < board.size; i++) {
    const item = board.items[i]
    if (!items.listable(item, now)) continue
    const score = board.weights[i] / weightUnit / Math.sqrt(items.positives(item) + DAMPING)
    found.push({ id: items.idOf(item), score })
  }
  found.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
  return found.slice(0, n)
}

/** The JSON body without its first brace, as ViewWrite wants it. */
export function similarBody(itemId: string, at: number, similar: readonly Similar[]): string {
  const list = similar.map(
    ({ id, score }) => `{"id":${JSON.stringify(id)},"score":${Number(score.toPrecision(5))}}`,
  )
  return `"item":${JSON.stringify(itemId)},"at":${at},"items":[${list.join()}]}`
}
