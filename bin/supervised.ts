/** The side of a worker that `run --workers N` started: how it hears of its supervisor's end, and says that starting again can't help. */
import { mendOf, messageOf } from '../streams/errors.ts'

/** Between worker and supervisor alone; outside it is exit code 1. */
export const FATAL_EXIT = 70

/** Ends with what the supervisor is to do. Errors: `error`, where this is no supervised worker or starting again may help. */
export async function endSupervised(error: unknown): Promise<number> {
  if (!process.send || mendOf(error) !== 'final') throw error
  await new Promise(resolve => process.send?.({ fatal: messageOf(error) }, resolve))
  return FATAL_EXIT
}

/** Runs `then` once the supervisor is gone, however it ended; never where there is none. */
export function onSupervisorGone(then: () => void): void {
  if (!process.connected) return
  process.once('disconnect', then)
  process.channel?.unref()
}

/** What a worker sent by `endSupervised`. */
export function sentenceOf(message: unknown): string | undefined {
  const { fatal } = Object(message) as { fatal?: unknown }
  return typeof fatal === 'string' ? fatal : undefined
}
