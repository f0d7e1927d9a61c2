/**
 * What the tasks of a process keep of the features that were served, within one bound.
 *
 *  - F1 Lists and impressions together are never above the bound. Lists make room, the one that was written or looked up
 *       longest ago first.
 *  - F2 Impressions take at most three quarters; one that finds no room is not kept. Those that wait already are nearer to
 *       their label: if the oldest made room, under load none would have its features when the label comes.
 */

/** What a list costs beside its rows: the object, its places in map, set and array, its typed array. */
const listOverheadBytes = 400
const textOverheadBytes = 24
const impressionsShare = 0.75

/** A list as it was ranked. */
export interface KeptList {
  readonly userId: string
  readonly surface: string
  readonly version: string
  /** Packed (packed-rows.ts); null: ranked without features. */
  readonly rows: Uint32Array | null
  /** Versions of lists drawn elsewhere that this one stands for; undefined: none. */
  standsFor?: Set<string>
  /** When a newer list of the surface left, ms; 0: it is the newest. */
  supersededAt: number
  /** When an impression of it came last, ms; 0: none did. */
  seenAt: number
  /** Takes it out of what it is found by. */
  readonly leave: (list: KeptList) => void
}

export class ServedMemory {
  private readonly limit: number
  /** In the order of their last use. */
  private readonly lists = new Set<KeptList>()
  private listBytes = 0
  private textBytes = 0
  private evicted = 0

  /** @param limit bytes. */
  constructor(limit: number) {
    this.limit = limit
  }

  get bytes(): number {
    return this.listBytes + this.textBytes
  }

  add(list: KeptList): void {
    this.lists.add(list)
    this.listBytes += bytesOf(list)
    this.makeRoom()
  }

  used(list: KeptList): void {
    if (this.lists.delete(list)) this.lists.add(list)
  }

  drop(list: KeptList): void {
    if (!this.lists.delete(list)) return
    this.listBytes -= bytesOf(list)
    list.leave(list)
  }

  /** False: there is no room for it. */
  hold(text: string): boolean {
    const bytes = text.length + textOverheadBytes
    if (this.textBytes + bytes > impressionsShare * this.limit) return false
    this.textBytes += bytes
    this.makeRoom()
    return true
  }

  release(text: string): void {
    this.textBytes -= text.length + textOverheadBytes
  }

  /** Lists that had to make room since the last call. */
  takeEvicted(): number {
    const { evicted } = this
    this.evicted = 0
    return evicted
  }

  private makeRoom(): void {
    for (const list of this.lists) {
      if (this.bytes <= this.limit) return
      this.evicted++
      this.drop(list)
    }
  }
}

function bytesOf({ rows, userId }: KeptList): number {
  return listOverheadBytes + 2 * userId.length + (rows?.byteLength ?? 0)
}
