/**
 * The demo's eyes: a view store that also keeps each user's newest list, and notes when a list changed after something that
 * its user watched. Lists are parsed only when asked for.
 */
import type { ViewMark, ViewStore } from '../../streams/sinks.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { ServedList } from '../simulator/world.ts'

/** A list before and after a watch. */
export interface Moment {
  readonly user: string
  readonly watched: string
  readonly before: readonly string[]
  readonly after: readonly string[]
  /** From the watch's sending to the list's writing. */
  readonly tookMs: number
}

interface Stored {
  readonly body: string
  readonly version: string
}

const PREFIX = 'topk:home:u:'
const SHOWN = 5

export class WatchedViews implements ViewStore {
  readonly name
  readonly moments: Moment[] = []
  private readonly inner: ViewStore
  private readonly now: () => number
  private readonly lists = new Map<string, Stored>()
  private readonly watched = new Map<string, { readonly item: string; readonly at: number }>()

  constructor(inner: ViewStore, now: () => number) {
    this.inner = inner
    this.name = inner.name
    this.now = now
  }

  async write(writes: readonly ViewWrite[], version: string, mark?: ViewMark): Promise<void> {
    await this.inner.write(writes, version, mark)
    for (const write of writes)
      if (write.op === 'json' && write.key.startsWith(PREFIX))
        this.keep(write.key.slice(PREFIX.length), { body: write.body, version })
  }

  private keep(user: string, list: Stored): void {
    const before = this.lists.get(user)
    this.lists.set(user, list)
    const watch = this.watched.get(user)
    if (!before || !watch) return
    this.watched.delete(user)
    const [was, is] = [itemsOf(before), itemsOf(list)]
    if (was.slice(0, SHOWN).join() === is.slice(0, SHOWN).join()) return
    this.moments.push({
      user,
      watched: watch.item,
      before: was.slice(0, SHOWN),
      after: is.slice(0, SHOWN),
      tookMs: this.now() - watch.at,
    })
  }

  /** Says that a user has just watched something to its end. */
  noteWatch(user: string, item: string): void {
    this.watched.set(user, { item, at: this.now() })
  }

  /** The list as the simulated viewer's client would read it. */
  served(user: string): ServedList | undefined {
    const stored = this.lists.get(user)
    if (!stored) return undefined
    const list = JSON.parse(`{${stored.body}`) as Omit<ServedList, 'version'>
    return { ...list, version: stored.version }
  }

  waiting(): string | undefined {
    return this.inner.waiting()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

function itemsOf({ body }: Stored): string[] {
  const { items } = JSON.parse(`{${body}`) as { items: { id: string }[] }
  return items.map(item => item.id)
}
