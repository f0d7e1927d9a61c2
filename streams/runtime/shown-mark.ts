/**
 * Notices that the view store lost what a task wrote, and has it written again (C5). A mark stands in the store behind the
 * task's views and moves on with every write of them; who finds it missing or older knows that the store was emptied, came
 * back from an older copy, or is another one.
 *
 *  - M1 The owner knows its mark's version; a new owner knows from the log up to which commit the mark must reach at least.
 *       So a store that lost nothing is never refilled.
 *  - M2 A mark that was found missing is set again with the first write after that, as one that says "nothing is there yet",
 *       and says more once everything is emitted and acknowledged: an owner that dies before leaves the refill to the next.
 *  - M3 An idle task looks every few seconds; nothing waits for that look.
 */
import type { Clock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { ViewStore } from '../sinks.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import type { TaskCore } from './core.ts'
import { markThrough } from './names.ts'

/** How often an idle task looks for its mark. */
const LOOK_MS = 5_000

export interface ShownMarkSettings {
  readonly views: ViewStore
  readonly core: TaskCore
  readonly generation: number
  readonly kind: string
  /** Version of the views of a commit. */
  readonly versionOf: (commit: number) => string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** A look failed, for no outage: those are waited for. */
  readonly onFailure: (error: unknown) => void
}

export class ShownMark {
  private readonly settings: ShownMarkSettings
  /** Of this owner's last acknowledged write; '' before it. */
  private version = ''
  /** What an earlier owner's mark says at least; '' once this owner has a mark, or where there was no commit before. */
  private fromThrough: string
  /** The mark is missing: the next write sets it anew. */
  private missing: boolean
  /** The first commit that may hold views of the refill that is under way; 0: there is none. */
  private refillFrom = 0
  private lostAt = 0
  private writtenAt: number
  private looking = false

  /** `core` is restored. */
  constructor(settings: ShownMarkSettings) {
    const { core, generation, clock } = settings
    this.settings = settings
    this.missing = core.lastCommit === 0
    this.fromThrough = this.missing ? '' : markThrough(generation, Math.max(1, core.shown))
    this.writtenAt = clock.now() - LOOK_MS
  }

  /** Writes what a commit shows and moves the mark on; `refilled`: of a refill nothing is left behind this commit. */
  async write(writes: readonly ViewWrite[], commit: number, refilled: boolean): Promise<void> {
    const { views, core, generation, versionOf, clock } = this.settings
    const version = versionOf(commit)
    const isWhole = this.refillFrom === 0 || (refilled && commit >= this.refillFrom)
    let lost = false
    await views.write(writes, version, {
      task: core.name,
      through: markThrough(generation, isWhole ? commit : 0),
      fromVersion: this.missing ? '' : this.version,
      fromThrough: this.missing ? '' : this.fromThrough,
      lost: () => {
        lost = true
      },
    })
    this.writtenAt = clock.now()
    if (lost) {
      this.refill()
      return
    }
    this.missing = false
    this.fromThrough = ''
    if (version > this.version) this.version = version
    if (!isWhole) return
    core.shown = Math.max(core.shown, commit)
    if (this.refillFrom > 0) this.endRefill()
  }

  private refill(): void {
    // two writes that were under way at once both found it missing
    if (this.missing) return
    const { views, core, kind, clock, log, metrics } = this.settings
    this.missing = true
    this.refillFrom = core.lastCommit + 1
    this.lostAt = clock.now()
    metrics.counter('freshet_view_refills_total', { kind }).add()
    log.warn(
      { task: core.name },
      `${views.name} does not hold what ${core.name} wrote up to commit ${core.shown}: it was emptied, came back from an older copy, is another, or shows an earlier generation's; what active users read is written again`,
    )
    core.refill('active')
  }

  private endRefill(): void {
    const { core, clock, log, views } = this.settings
    this.refillFrom = 0
    const seconds = (clock.now() - this.lostAt) / 1000
    log.info(
      { task: core.name, seconds },
      `${views.name} holds again what active users read of ${core.name}`,
    )
  }

  /** Looks after the mark where nothing was written for a while. Call it while no write of a commit is under way. */
  look(): void {
    const { core, clock, onFailure } = this.settings
    if (this.looking || clock.now() - this.writtenAt < LOOK_MS) return
    this.looking = true
    // nothing of a refill waits for a commit: this look may say that it is over
    const refilled = !core.refilling
    if (refilled && this.refillFrom > core.lastCommit) this.refillFrom = core.lastCommit
    this.write([], core.lastCommit, refilled)
      .catch(error => {
        if (!(error instanceof FreshetError && error.code === 'CLOSED')) onFailure(error)
      })
      .finally(() => {
        this.looking = false
      })
  }
}
