/** What is watched most, by turns at every half-life: what is hot now, and what has lasted. */
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

/** Beyond what a user with full history excludes, the next ones are still popular. */
const depth = 300

export function retrievePopularity(ask: Ask, into: Candidates): void {
  const { items, perSource } = ask
  const halfLives = items.halfLivesMs.length
  const lists = Array.from({ length: halfLives }, (_, h) => items.popular(h, depth + perSource))
  let wanted = perSource
  for (let rank = 0; rank < depth + perSource; rank++) {
    let any = false
    for (let h = 0; h < halfLives; h++) {
      const list = lists[h]
      if (rank >= list.length) continue
      any = true
      if (into.add(list[rank], 'popularity') && --wanted === 0) return
    }
    if (!any) return
  }
}

/** What the cohort watches most. */
export function retrieveCohort(ask: Ask, into: Candidates): void {
  let wanted = ask.perSource
  for (const item of ask.cohort?.keys() ?? []) {
    if (into.add(item, 'popularity')) wanted--
    if (wanted === 0) return
  }
}
