/** Rows that are views into a user at the time of the commit, or tombstones of what a user no longer has. */
import { FreshetError } from '../../streams/errors.ts'
import type { Row } from '../../streams/topology/store.ts'
import { findPlay } from './plays.ts'
import type { StoredUser } from './stored-user.ts'

export class PlayRow implements Row {
  dirty = false
  readonly user: StoredUser
  readonly hash: number

  constructor(user: StoredUser, hash: number) {
    this.user = user
    this.hash = hash
  }

  get removed(): boolean {
    return this.user.gone || findPlay(this.user.state.plays, this.hash) < 0
  }

  set removed(_value: boolean) {
    throw new FreshetError('BUG', 'a play is removed by taking it out of its user')
  }
}

/** A session's row under a start it no longer has. */
export class MovedSession implements Row {
  dirty = false
  removed = true
  readonly user: StoredUser
  readonly startedAt: number

  constructor(user: StoredUser, startedAt: number) {
    this.user = user
    this.startedAt = startedAt
  }
}

/** A user whose data was removed, and when (event time). */
export class Withdrawal implements Row {
  dirty = false
  removed = false
  readonly userId: string
  readonly at: number

  constructor(userId: string, at: number) {
    this.userId = userId
    this.at = at
  }
}
