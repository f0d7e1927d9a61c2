/** `--speed 60x`: a minute of the log's time takes a second. A replay that fell behind does not hurry to catch up. */
import { type Clock, systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { Pacer } from './pacer.ts'

/** Further behind than that it goes on from where it is. */
const LATE_MS = 1_000
/** Whoever waits again and again is told to wait, also between two steps. */
const TOLD_MS = 2_000

/** undefined: as fast as it goes. Errors: CALL_INVALID. */
export function parseSpeed(given: unknown): number | undefined {
  if (given === undefined || given === 'max') return undefined
  const match = /^(\d+(?:\.\d+)?|\.\d+)x$/.exec(String(given))
  const times = match === null ? 0 : Number(match[1])
  if (times > 0) return times
  throw new FreshetError(
    'CALL_INVALID',
    `--speed got ${JSON.stringify(given)}; it takes max, or how many times as fast as the log's time, such as 60x or .5x`,
  )
}

/** `times`: seconds of the log's time a second. */
export function speedPacer(times: number, clock: Clock = systemClock): Pacer {
  let from: { readonly event: number; readonly now: number } | undefined
  let waits = false
  let waitedAt = Number.NEGATIVE_INFINITY
  return {
    async ready(eventTimeMs, signal) {
      from ??= { event: eventTimeMs, now: clock.now() }
      const left = from.now + (eventTimeMs - from.event) / times - clock.now()
      if (left <= 0) {
        if (left < -LATE_MS) from = { event: eventTimeMs, now: clock.now() }
        return
      }
      waits = true
      await clock.sleep(left, signal)
      waits = false
      waitedAt = clock.now()
    },
    held: () => (waits || clock.now() - waitedAt < TOLD_MS ? `speed ${times}x` : null),
  }
}

/** All of them must be ready. */
export function allPacers(pacers: readonly Pacer[]): Pacer {
  return {
    async ready(eventTimeMs, signal) {
      for (const pacer of pacers) await pacer.ready(eventTimeMs, signal)
    },
    held() {
      for (const pacer of pacers) {
        const held = pacer.held()
        if (held !== null) return held
      }
      return null
    },
  }
}
