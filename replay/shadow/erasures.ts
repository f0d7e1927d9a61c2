/** Whose erasure the log holds, and when it comes: read as a whole before anything else. */

export class KnownErasures {
  private readonly at = new Map<string, number>()
  private readonly byPseudonym = new Map<string, number>()
  private readonly pseudonyms: (user: string) => readonly string[]

  /** `pseudonyms`: those that the tables may know a user by. */
  constructor(pseudonyms: (user: string) => readonly string[]) {
    this.pseudonyms = pseudonyms
  }

  /** `timestamp`: of the erasure's record, ms. */
  add(user: string, timestamp: number): void {
    const last = Math.max(this.at.get(user) ?? 0, timestamp)
    this.at.set(user, last)
    for (const name of this.pseudonyms(user)) this.byPseudonym.set(name, last)
  }

  get isEmpty(): boolean {
    return this.at.size === 0
  }

  get size(): number {
    return this.at.size
  }

  /** An erasure of the user comes at or after `now`. */
  isAhead(user: string, now: number): boolean {
    return this.at.size > 0 && (this.at.get(user) ?? 0) >= now
  }

  isAheadOfPseudonym(name: string, now: number): boolean {
    return (this.byPseudonym.get(name) ?? 0) >= now
  }
}
