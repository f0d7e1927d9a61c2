/** What a process of a replay is told first. */
import { resolveOptions } from '../../streams/options.ts'
import { allOptions } from '../all-options.ts'
import type { Values } from '../call.ts'

/** The hidden call that such a process is started with. */
export const PART_COMMAND = 'replay-part'

export interface PartOrder {
  /** Options that are not as by default, as text. */
  readonly options: Readonly<Record<string, string>>
  readonly dataDir: string
  readonly name: string
  readonly index: number
  readonly of: number
}

/** The options as text. What text can't give back comes by the environment, which a child has too. */
export function optionTexts(values: Values): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, spec] of Object.entries(allOptions)) {
    const value: unknown = values[name as keyof Values]
    if (value === spec.default) continue
    const text = String(value)
    const { success, data } = (
      spec.schema as { safeParse(given: string): { success: boolean; data?: unknown } }
    ).safeParse(text)
    if (success && JSON.stringify(data) === JSON.stringify(value)) texts[name] = text
  }
  return texts
}

export function optionsOfOrder({ options }: PartOrder): Values {
  return resolveOptions(allOptions, { flags: options, environment: process.env, file: {} }).values
}
