/** The followed tables of one process: each shared by all tasks that name it, and dropped with the last of them. */
import { FreshetError } from '../errors.ts'
import type { TableSpec } from '../topology/stage.ts'
import { Follower, type FollowerSettings } from './follower.ts'

export class FollowedTables {
  private readonly specs: readonly TableSpec[]
  private readonly settings: FollowerSettings
  private readonly followers = new Map<string, Follower>()

  constructor(specs: readonly TableSpec[], settings: FollowerSettings) {
    this.specs = specs
    this.settings = settings
  }

  /** The table's follower, begun where it was not yet. Errors: BUG for a table that the application does not have. */
  follow(name: string): Follower {
    const existing = this.followers.get(name)
    if (existing) return existing
    const spec = this.specs.find(table => table.name === name)
    if (!spec) throw new FreshetError('BUG', `there is no followed table ${name}`)
    const follower = new Follower(spec, this.settings)
    this.followers.set(name, follower)
    return follower
  }

  /** Drops all but `used`. */
  async keep(used: ReadonlySet<string>): Promise<void> {
    const unused = [...this.followers].filter(([name]) => !used.has(name))
    // a task that is opened meanwhile begins its own
    for (const [name] of unused) this.followers.delete(name)
    for (const [, follower] of unused) await follower.close()
  }
}
