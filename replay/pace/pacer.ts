/** How fast a replay may go: asked between steps. */
export interface Pacer {
  /** Resolves when the step that begins at this event time (ms) may run, or once `signal` is aborted. */
  ready(eventTimeMs: number, signal: AbortSignal): Promise<void>
  /** What it waits for, for the status; null while nothing holds it. */
  held(): string | null
}

export const unpaced: Pacer = { ready: async () => undefined, held: () => null }
