/** Rows that are views into a user at the time of the commit, or tombstones of what a user no longer has. */
import { FreshetError } from '../../streams/errors.ts'
import type { Row } from '../../streams/topology/store.ts'
import { UserPart } from './chunks.ts'
import { findPlay, isApart } from './plays.ts'
import type { StoredUser } from './stored-user.ts'

export class PlayRow extends UserPart implements Row {
  readonly hash: number

  constructor(user: StoredUser, hash: number) {
    super(user)
    this.hash = hash
  }

  get removed(): boolean {
    if (this.user.gone) return true
    const { plays } = this.user.state
    const at = findPlay(plays, this.hash)
    return at < 0 || !isApart(plays, at)
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
