/**
 * Holds views back while a state that was left for a while takes in what came since: readers keep what they have, which is
 * newer. What is taken away for a reason (an erasure, a withdrawn item) goes at once all the same.
 *
 *  - V1 Nothing that leaves while it is closed moves a task's mark on. So behind its opening every task finds its mark as an
 *       older generation left it, and writes again what active users read (shown-mark.ts).
 *  - V2 Once open it stays open.
 *  - V3 A look that fails is told and made again: views that are held back must not stay so for it.
 */
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ViewMark, ViewStore } from '../sinks.ts'
import type { ViewWrite } from '../topology/outbox.ts'

const LOOK_MS = 1_000
/** What was committed up to the last look is on its way through the other tasks for so long at most. */
const SETTLE_MS = 2_000

/** A member of a set is there or not: such a set is no view of a moment. */
const CHANGES: ReadonlySet<ViewWrite['op']> = new Set(['zadd', 'zrem', 'zclear'])

export interface ViewGateSettings {
  readonly views: ViewStore
  /** Whether the removal of a key leaves at once. */
  readonly mayGo: (key: string) => boolean
  /** The state has taken in what the readers' views are of. */
  readonly caughtUp: () => Promise<boolean>
  readonly clock: Clock
  readonly log: Logger
}

export class ViewGate implements ViewStore {
  readonly name: string
  private readonly settings: ViewGateSettings
  private isOpen = false
  private ended = false

  constructor(settings: ViewGateSettings) {
    this.settings = settings
    this.name = settings.views.name
    void this.watch()
  }

  private async watch(): Promise<void> {
    const { clock, log } = this.settings
    log.info({}, `views are held back until the state has taken in what ${this.name} shows`)
    while (!this.ended && !(await this.caughtUp())) await clock.sleep(LOOK_MS)
    await clock.sleep(SETTLE_MS)
    if (this.ended) return
    this.isOpen = true
    log.info({}, 'the state has caught up: views are written again')
  }

  private async caughtUp(): Promise<boolean> {
    const { caughtUp, log } = this.settings
    try {
      return await caughtUp()
    } catch (error) {
      if (!this.ended)
        log.error({ error: messageOf(error) }, 'how far the state is can not be told')
      return false
    }
  }

  async write(writes: readonly ViewWrite[], version: string, mark?: ViewMark): Promise<void> {
    const { views, mayGo } = this.settings
    if (this.isOpen) return views.write(writes, version, mark)
    const atOnce = writes.filter(
      ({ op, key }) => CHANGES.has(op) || (op === 'delete' && mayGo(key)),
    )
    if (atOnce.length > 0) await views.write(atOnce, version)
  }

  waiting(): string | undefined {
    return this.settings.views.waiting()
  }

  /** Opens no more; what it stands before is left open. */
  async close(): Promise<void> {
    this.ended = true
  }
}
