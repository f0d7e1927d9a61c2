/** What a process of a replay is told first. */
import type { Values } from '../call.ts'

/** The hidden call that such a process is started with. */
export const PART_COMMAND = 'replay-part'

export interface PartOrder {
  readonly values: Values
  readonly dataDir: string
  readonly name: string
  readonly index: number
  readonly of: number
}
