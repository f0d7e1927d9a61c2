/** For commands that answer a question: what a worker tells of its going would only stand beside the answer. */
export const createLookingLogger = (level: string): Logger =>
  createLogger(level === 'info' ? 'warn' : level)

/** pino to standard error, so that standard output stays for what the command answers. */
import { destination, pino } from 'pino'
import type { Logger } from '../streams/log.ts'

export function createLogger(level: string): Logger {
  const logger = pino(
    { level, base: undefined, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    destination(2),
  )
  return {
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  }
}
