/**
 * Followed tables for who only reads: each from when it is first asked for to the end. Claims nothing, joins nothing.
 */
import type { Clock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { Application } from '../topology/stage.ts'
import type { Transport } from '../transport/port.ts'
import { Follower } from './follower.ts'
import type { TopicNames } from './names.ts'

export interface ReadTablesSettings {
  readonly application: Pick<Application, 'tables'>
  readonly transport: Transport
  readonly names: TopicNames
  /** Tasks of each kind. */
  readonly counts: ReadonlyMap<string, number>
  readonly clock: Pick<Clock, 'now'>
  readonly log: Logger
}

export class ReadTables {
  private readonly settings: ReadTablesSettings
  private readonly followers = new Map<string, Follower>()
  private failure: unknown
  private markFailed: () => void = () => undefined
  private readonly failed = new Promise<void>(resolve => {
    this.markFailed = resolve
  })

  constructor(settings: ReadTablesSettings) {
    this.settings = settings
  }

  follow(name: string): Follower {
    const known = this.followers.get(name)
    if (known) return known
    const { application, transport, names, counts, clock, log } = this.settings
    const spec = application.tables.find(table => table.name === name)
    if (!spec) throw new FreshetError('BUG', `there is no followed table ${name}`)
    const follower = new Follower(spec, {
      transport,
      names,
      partitionsOf: kind => counts.get(kind) ?? 0,
      now: () => clock.now(),
      metrics: noMetrics,
      log,
      onFailure: error => {
        this.failure ??= error
        this.markFailed()
      },
    })
    this.followers.set(name, follower)
    return follower
  }

  async caughtUp(name: string): Promise<void> {
    await Promise.race([this.follow(name).caughtUp, this.failed])
    this.check()
  }

  /** Errors: what ended the following of a table. */
  check(): void {
    if (this.failure !== undefined) throw this.failure
  }

  async close(): Promise<void> {
    await Promise.all([...this.followers.values()].map(follower => follower.close()))
  }
}
