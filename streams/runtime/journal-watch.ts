/**
 * A worker's eye on the journal of generations: tells it once that it must let go, because someone holds the workers (G4) or
 * because another generation is in force. One look at the journal's end each time; it is read again only where that moved.
 */
import type { Clock } from '../clock.ts'
import type { Generations } from './generations.ts'
import type { Hold, Journal } from './journal-records.ts'

/** Twice a second: what a cutover waits for at most before workers let go. */
const LOOK_MS = 500

export interface WatchSettings {
  readonly generations: Generations
  /** That the worker has. */
  readonly generation: number
  readonly clock: Clock
  readonly onOver: () => void
  /** The journal can't be read. */
  readonly onFailure: (error: unknown) => void
}

export class JournalWatch {
  private readonly settings: WatchSettings
  private end = -1
  private closed = false

  constructor(settings: WatchSettings) {
    this.settings = settings
    this.watch().catch(error => {
      if (!this.closed) settings.onFailure(error)
    })
  }

  private async watch(): Promise<void> {
    const { clock, onOver } = this.settings
    while (!this.closed) {
      if (await this.isOver()) {
        if (!this.closed) onOver()
        return
      }
      await clock.sleep(LOOK_MS)
    }
  }

  private async isOver(): Promise<boolean> {
    const { generations, generation, clock } = this.settings
    const end = await generations.end()
    if (end === this.end) return false
    this.end = end
    const journal = await generations.read()
    return journal.current?.generation !== generation || holdOf(journal, clock) !== undefined
  }

  close(): void {
    this.closed = true
  }
}

/** The hold that is in force now. */
export function holdOf({ hold }: Pick<Journal, 'hold'>, clock: Clock): Hold | undefined {
  return hold !== undefined && hold.until > clock.wall() ? hold : undefined
}
