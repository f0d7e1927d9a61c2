/** Lists as a viewer's client reads them: the user's own, else one of his cohort's, else a global one (CONTRACT 2). */
import type { ServedList } from '../../../bin/simulator/world.ts'
import type { ViewWrite } from '../../../streams/topology/outbox.ts'

/** Cohort and global lists come in this many independent draws. */
const DRAWS = 16

interface Stored {
  readonly body: string
  readonly expires: number
  readonly version: string
}

export interface Reader {
  readonly userId: string
  readonly cohort: string
  readonly surface: string
  readonly ts: number
}

export class Lists {
  private readonly stored = new Map<string, Stored>()
  private writes = 0

  write(view: ViewWrite, at: number): void {
    if (view.op === 'delete') this.stored.delete(view.key)
    if (view.op !== 'json' || !view.key.startsWith('topk:')) return
    const version = `000001-0000000000000000-${String(++this.writes).padStart(10, '0')}`
    this.stored.set(view.key, { body: view.body, expires: at + view.ttlMs, version })
  }

  /** `draw`: which of the draws of a shared list, from 0 to 1. */
  read({ userId, cohort, surface, ts }: Reader, draw: number): ServedList | undefined {
    const n = Math.floor(draw * DRAWS)
    for (const who of [`u:${userId}`, `c:${cohort}:${n}`, `global:${n}`]) {
      const list = this.stored.get(`topk:${surface}:${who}`)
      if (list !== undefined && list.expires > ts)
        return { ...(JSON.parse(`{${list.body}`) as ServedList), version: list.version }
    }
    return undefined
  }
}
