/** One line a state change, never one a try. Fields first, sentence second (pino's order). */
export interface Logger {
  info(fields: Record<string, unknown>, message: string): void
  warn(fields: Record<string, unknown>, message: string): void
  error(fields: Record<string, unknown>, message: string): void
}

export const silentLogger: Logger = { info() {}, warn() {}, error() {} }
