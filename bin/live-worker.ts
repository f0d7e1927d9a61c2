/**
 * The worker of `freshet run`: one `Worker` after the other, each on the generation that is in force. Where someone holds the
 * workers (a cutover, a rollback) it commits, leaves the group and waits; then it begins anew on what is in force by then,
 * on the same connections. An end is only what is asked for, or what another generation does not explain.
 */
import { systemClock } from '../streams/clock.ts'
import { FreshetError, messageOf } from '../streams/errors.ts'
import { type Generations, type InForce, inForce } from '../streams/runtime/generations.ts'
import type { Generation, Hold } from '../streams/runtime/journal-records.ts'
import { holdOf, JournalWatch } from '../streams/runtime/journal-watch.ts'
import type { ViewGate } from '../streams/runtime/view-gate.ts'
import type { Worker } from '../streams/runtime/worker.ts'
import { isEmbedded, journalOf, namesOf, type Surroundings } from './compose.ts'
import type { WatchedWorker } from './http.ts'
import { gateOf } from './view-gate.ts'
import type { WorkerParts } from './worker.ts'

/** Between two looks at a hold. */
const HELD_LOOK_MS = 100
/** Members of the generation before may be in the group for so long after a switch: their refusals are not believed. */
const SETTLING_MS = 60_000
const AGAIN_MS = 1_000

type Begun = Awaited<ReturnType<WorkerParts['begin']>>

export class LiveWorker implements WatchedWorker {
  private readonly parts: WorkerParts
  private readonly around: Surroundings
  private readonly journal: Generations
  private begun: Begun | undefined
  private state: InForce | undefined
  private held: Hold | undefined
  private gate: ViewGate | undefined
  private stopping = false

  constructor(around: Surroundings, parts: WorkerParts) {
    this.around = around
    this.parts = parts
    this.journal = journalOf(around.values, parts.transport)
  }

  /** Resolves when the first worker has joined, or at once where workers are held. Errors: why it can't start. */
  async start(): Promise<void> {
    while (!this.stopping && !(await this.isHeld()))
      try {
        return await this.begin()
      } catch (error) {
        if (!(await this.mayBeginAgain(error))) throw error
      }
  }

  /** Resolves once it is stopped. Errors: what made it end by itself. */
  async run(): Promise<void> {
    while (!this.stopping) {
      try {
        await this.pastHold()
        if (this.stopping) break
        if (this.begun === undefined) await this.begin()
        await this.untilOver()
      } catch (error) {
        if (!(await this.mayBeginAgain(error))) throw error
      } finally {
        await this.end()
      }
    }
  }

  stop(): void {
    this.stopping = true
    void this.begun?.worker.stop()
  }

  private get clock() {
    return this.around.clock ?? systemClock
  }

  private async begin(): Promise<void> {
    const state = inForce(namesOf(this.around.values), await this.journal.read())
    this.state = state
    this.gate = await gateOf(this.around, this.parts, state)
    this.begun = await this.parts.begin(state, this.gate)
    if (this.stopping) void this.begun.worker.stop()
  }

  /** Works until it is to let go; the next turn of `run` finds out why. */
  private async untilOver(): Promise<void> {
    const { worker } = this.begun as Begun
    let failure: unknown
    const watch = isEmbedded(this.around.values)
      ? undefined
      : new JournalWatch({
          generations: this.journal,
          generation: (this.state as InForce).generation,
          clock: this.clock,
          onOver: () => {
            this.around.log.info({}, 'another generation, or a hold: lets go of everything')
            void worker.stop()
          },
          onFailure: error => {
            failure = error
            void worker.stop()
          },
        })
    try {
      await worker.done()
    } finally {
      watch?.close()
    }
    if (failure !== undefined) throw failure
    // embedded: one process is all there is, so it was asked for
    if (watch === undefined) this.stopping = true
  }

  /** Stops the worker that there is, and closes what is its own. */
  async end(): Promise<void> {
    const { begun } = this
    this.begun = undefined
    await this.gate?.close()
    await begun?.close()
  }

  private async pastHold(): Promise<void> {
    let said = ''
    while (!this.stopping && (await this.isHeld())) {
      const { id = '', by, until } = this.held ?? {}
      if (id !== said)
        this.around.log.info({ by, until }, `${this.waitsFor()}: nothing is worked on meanwhile`)
      said = id
      await this.clock.sleep(HELD_LOOK_MS)
    }
  }

  private async isHeld(): Promise<boolean> {
    // what has begun was not held then; whether it is now is what its watch looks for
    if (isEmbedded(this.around.values) || this.begun !== undefined) return false
    this.held = holdOf(await this.journal.read(), this.clock)
    return this.held !== undefined
  }

  /** Another generation came into force meanwhile, or the last one so shortly ago that its predecessor's members are about. */
  private async mayBeginAgain(error: unknown): Promise<boolean> {
    const journal = await this.journal.read().catch(() => undefined)
    const { state } = this
    if (this.stopping || state === undefined || journal?.current === undefined) return false
    const { current } = journal
    if (current.application !== this.around.values['application.id']) return false
    const explains =
      current.generation !== state.generation ||
      holdOf(journal, this.clock) !== undefined ||
      this.isSettling(error, current)
    if (!explains) return false
    this.around.log.warn(
      { error: messageOf(error) },
      'ended by a change of generations: begins again',
    )
    await this.clock.sleep(AGAIN_MS)
    return true
  }

  private isSettling(error: unknown, { by, at }: Generation): boolean {
    const isRefusal = error instanceof FreshetError && error.code === 'APPLICATION_OTHER'
    return isRefusal && by !== null && this.clock.wall() - at < SETTLING_MS
  }

  // ---- what is served

  private get worker(): Worker | undefined {
    return this.begun?.worker
  }

  get ready(): boolean {
    return this.worker?.ready ?? false
  }

  waiting(): string[] {
    return this.worker?.waiting() ?? [this.waitsFor()]
  }

  status() {
    return this.worker?.status() ?? []
  }

  dependencies() {
    return this.worker?.dependencies() ?? []
  }

  lag() {
    return this.worker?.lag() ?? []
  }

  private waitsFor(): string {
    const { held } = this
    return held === undefined
      ? 'the generation that comes into force'
      : `${held.by}, which holds the workers until ${new Date(held.until).toISOString()} at most`
  }
}
