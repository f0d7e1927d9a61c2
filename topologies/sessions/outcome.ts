/** What a heartbeat says of its play (DESIGN 4, labels). */
import type { EndReason } from '../../schemas/index.ts'

const CERTAIN_MS = 30_000
const SKIP_MS = 2_000

/** Watched at least 30 s or half of it, whichever is less, or finished. `durationMs` 0: unknown or live, 30 s. */
export function isPositive(watchedMs: number, durationMs: number, endReason: EndReason): boolean {
  if (endReason === 'finished') return true
  return watchedMs >= (durationMs > 0 ? Math.min(CERTAIN_MS, durationMs / 2) : CERTAIN_MS)
}

/** Left for the next within 2 s. */
export function isSkip(watchedMs: number, endReason: EndReason): boolean {
  return endReason === 'skipped' && watchedMs < SKIP_MS
}

/** Share watched, capped at 1; null where the duration is unknown. */
export function gradedLabel(watchedMs: number, durationMs: number): number | null {
  return durationMs > 0 ? Math.min(1, watchedMs / durationMs) : null
}
