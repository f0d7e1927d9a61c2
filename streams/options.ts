/**
 * Options are declared once, beside what they steer, and become flag (`--topk.size 50`), environment variable
 * (`FRESHET_TOPK_SIZE`), key of the config file (`"topk.size": 50`), help text and type.
 * A wrong value is refused at the start with the option's name, what it got and what it takes.
 */
import type { z } from 'zod'
import { FreshetError } from './errors.ts'

export interface OptionSpec<T = unknown> {
  readonly schema: z.ZodType<T>
  readonly default: T
  /** What it steers, its unit, and why this default. */
  readonly help: string
  /** What the schema takes, for the error sentence: "a whole number from 1 to 200". */
  readonly takes: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export type OptionValues<S extends OptionSpecs> = {
  readonly [K in keyof S]: S[K] extends OptionSpec<infer T> ? T : never
}

/** For inference: `defineOptions({ 'topk.size': option(z.coerce.number().int(), 50, {...}) })`. */
export function defineOptions<S extends OptionSpecs>(specs: S): S {
  return specs
}

export function option<T>(
  schema: z.ZodType<T>,
  defaultValue: T,
  text: { help: string; takes: string },
): OptionSpec<T> {
  return { schema, default: defaultValue, ...text }
}

/** `topk.minInterval` -> `FRESHET_TOPK_MIN_INTERVAL`. */
export function environmentName(name: string): string {
  return `FRESHET_${name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[.-]/g, '_')
    .toUpperCase()}`
}

export interface OptionSources {
  readonly flags: Readonly<Record<string, string>>
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly file: Readonly<Record<string, unknown>>
  readonly fileName?: string
}

export interface ResolvedOption {
  readonly name: string
  readonly value: unknown
  /** 'default', 'flag', a variable's name or the file's name. */
  readonly from: string
}

/**
 * Resolves every declared option: flag before environment before file before default.
 * Errors: OPTION_UNKNOWN for a flag or file key that no option has (with the nearest name), OPTION_INVALID for a value.
 */
export function resolveOptions<S extends OptionSpecs>(
  specs: S,
  sources: OptionSources,
): { values: OptionValues<S>; resolved: ResolvedOption[] } {
  for (const name of Object.keys(sources.flags)) refuseUnknown(specs, name, 'flag')
  for (const name of Object.keys(sources.file))
    refuseUnknown(specs, name, sources.fileName ?? 'config file')
  const values: Record<string, unknown> = {}
  const resolved: ResolvedOption[] = []
  for (const [name, spec] of Object.entries(specs)) {
    const variable = environmentName(name)
    const [given, from] =
      sources.flags[name] !== undefined
        ? [sources.flags[name], 'flag']
        : sources.environment[variable] !== undefined
          ? [sources.environment[variable], variable]
          : sources.file[name] !== undefined
            ? [sources.file[name], sources.fileName ?? 'config file']
            : [undefined, 'default']
    const value = given === undefined ? spec.default : parse(name, spec, given, from)
    values[name] = value
    resolved.push({ name, value, from })
  }
  return { values: values as OptionValues<S>, resolved }
}

function parse(name: string, spec: OptionSpec, given: unknown, from: string): unknown {
  const result = spec.schema.safeParse(given)
  if (result.success) return result.data
  throw new FreshetError(
    'OPTION_INVALID',
    `option ${name} (from ${from}) got ${JSON.stringify(given)}; it takes ${spec.takes}`,
  )
}

function refuseUnknown(specs: OptionSpecs, name: string, from: string): void {
  if (name in specs) return
  const nearest = Object.keys(specs)
    .map(known => ({ known, distance: editDistance(known.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0]
  const hint = nearest && nearest.distance <= 4 ? `; did you mean ${nearest.known}?` : ';'
  throw new FreshetError(
    'OPTION_UNKNOWN',
    `there is no option ${name} (from ${from})${hint} \`freshet config show\` lists them all`,
  )
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]
}
