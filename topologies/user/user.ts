/** What the stages of a user task know of a user. Kept by the sessions stage; read by covisit, learner, labels, topk. */

export interface Session {
  readonly id: string
  startedAt: number
  lastEventAt: number
  impressions: number
  watches: number
  positives: number
  watchedMs: number
  completes: number
  skips: number
  /** Item indices of plays, newest first, each once, at most 50. */
  items: number[]
}

/** Newest first. */
export interface PositiveHistory {
  readonly length: number
  /** Item index of the k-th most recent first positive. */
  item(k: number): number
  /** Its event time, ms. */
  at(k: number): number
}

export interface User {
  readonly id: string
  /** Newest session by event time. */
  readonly session: Session
  /** First positives on distinct items, newest first, at most 200. */
  readonly positives: PositiveHistory
  /** Items that may never be listed for this user: finished (within topk.repeat), hidden, disliked, reported. */
  excludes(item: number): boolean
  /** Impressions of the item without a watch within the last 24 h / 7 d: for fatigue. */
  readonly shown: {
    last24h(item: number, now: number): number
    last7d(item: number, now: number): number
    /** Items shown since `from` (ms) and not watched since, newest first, each as often as it was shown; at most `most`. */
    unwatched(most: number, from: number): number[]
  }
  /** Weight from .01 to 4 that feedback on the creator's items left; 1 where there was none. */
  creatorWeight(creator: number): number
  /** Newest event time seen, ms. */
  readonly lastSeenAt: number
  readonly cohort: string
  readonly surface: string
  /** Input offset (first input topic) of the user's newest event: for topkDoneBelow. */
  readonly lastOffset: number
  /** Slots for later stages of the same task, in memory only (topk: last list, due time). */
  readonly scratch: UserScratch
}

/** Later stages extend this by declaration in their own folder's types; kept flat so that a user stays under 1 KB. */
export interface UserScratch {
  /** Item indices of the user's newest list; undefined: unknown since the restart. */
  list?: Int32Array
  listDirtySince?: number
  listBuiltAt?: number
}

/** The users of one task. */
export interface Users {
  get(userId: string): User | undefined
  values(): IterableIterator<User>
  /** Ids of users whose newest event is at or after `ts` (event time, ms); an undefined now and then. */
  activeSince(ts: number): IterableIterator<string | undefined>
  /** Newest event time of the partition, ms. */
  readonly watermark: { readonly at: number }
  readonly size: number
}
