/**
 * How a command is called: every declared option is a flag of every command, `--set name=value`, a variable and a key of the
 * config file. Exit codes: 0 done, 1 failed, 2 wrong call, 3 done but a check did not hold.
 */
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { type ErrorCode, FreshetError, messageOf } from '../streams/errors.ts'
import { type OptionValues, type ResolvedOption, resolveOptions } from '../streams/options.ts'
import { allOptions } from './all-options.ts'
import { paint } from './terminal.ts'

export const EXIT = { done: 0, failed: 1, wrongCall: 2, checkFailed: 3 } as const

export type Values = OptionValues<typeof allOptions>

export interface Call {
  readonly values: Values
  readonly resolved: readonly ResolvedOption[]
  readonly json: boolean
  /** The flags of this command alone, by name as declared. */
  readonly flags: Readonly<Record<string, unknown>>
}

const wrongCalls: ReadonlySet<ErrorCode> = new Set([
  'OPTION_INVALID',
  'OPTION_UNKNOWN',
  'CALL_INVALID',
])

/** A command with the flags that all have. `example` stands at the end of its help. */
export function command(nameAndArguments: string, description: string, example: string): Command {
  const made = new Command(nameAndArguments.split(' ')[0])
    .description(description)
    .option('--json', 'answer as JSON, for machines', false)
    .option('--data <dir>', 'folder of the embedded parts (the same as --data.dir)')
    .option('--config <file>', 'JSON file of options, {"topk.size": 50, ...}')
    .option(
      '--set <option=value>',
      'sets an option; may be repeated (`freshet config show` lists them)',
      (given: string, before: string[]) => [...before, given],
      [] as string[],
    )
    .addHelpText('after', `\nExample:\n  $ ${example}`)
    .showHelpAfterError('(--help says how)')
    .exitOverride()
  for (const argument of nameAndArguments.split(' ').slice(1)) made.argument(argument)
  for (const name of Object.keys(allOptions))
    made.addOption(new Option(`--${name} <value>`).hideHelp())
  return made
}

/** Wraps a command's work: resolves options, runs, turns errors into a sentence and an exit code. */
export function action(work: (call: Call, ...args: string[]) => Promise<number>) {
  return async (...given: unknown[]): Promise<void> => {
    const cmd = given.at(-1) as Command
    const args = cmd.processedArgs.filter(value => value !== undefined) as string[]
    try {
      process.exitCode = await work(readCall(cmd), ...args)
    } catch (error) {
      process.exitCode = report(error)
    }
  }
}

export function report(error: unknown): number {
  process.stderr.write(`${paint('red', 'freshet:')} ${messageOf(error)}\n`)
  if (!(error instanceof FreshetError) && error instanceof Error && error.stack)
    process.stderr.write(`${error.stack.split('\n').slice(1).join('\n')}\n`)
  return error instanceof FreshetError && wrongCalls.has(error.code) ? EXIT.wrongCall : EXIT.failed
}

/** Says why a call that is right was not done. */
export function notDone(sentence: string): number {
  process.stderr.write(`${paint('red', 'freshet:')} ${sentence}\n`)
  return EXIT.failed
}

function readCall(cmd: Command): Call {
  // of `topics create --json`, commander gives the flag to `topics`, which has it too
  const given = cmd.optsWithGlobals<Record<string, unknown>>()
  const flags: Record<string, string> = {}
  for (const pair of given.set as string[]) {
    const at = pair.indexOf('=')
    if (at < 1)
      throw new FreshetError(
        'CALL_INVALID',
        `--set got ${JSON.stringify(pair)}; it takes option=value`,
      )
    flags[pair.slice(0, at)] = pair.slice(at + 1)
  }
  for (const name of Object.keys(allOptions))
    if (typeof given[name] === 'string') flags[name] = given[name]
  if (typeof given.data === 'string') flags['data.dir'] = given.data
  const file = typeof given.config === 'string' ? readConfig(given.config) : {}
  const { values, resolved } = resolveOptions(allOptions, {
    flags,
    environment: process.env,
    file,
    fileName: given.config as string | undefined,
  })
  return { values, resolved, json: given.json === true, flags: given }
}

function readConfig(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `--config ${file} can't be read: ${messageOf(error)}; it takes a JSON file of options`,
      error,
    )
  }
}

/** A whole number from a command's own flag. */
export function wholeNumber(flag: string, given: unknown, fallback: number, least = 0): number {
  if (given === undefined) return fallback
  const value = Number(given)
  if (Number.isInteger(value) && value >= least) return value
  throw new FreshetError(
    'CALL_INVALID',
    `--${flag} got ${JSON.stringify(given)}; it takes a whole number from ${least}`,
  )
}

/**
 * Of a time as people write it, ms; undefined where it is none, or a day that no calendar has (February 30th, which
 * Date.parse takes for March 2nd). Without a zone it is UTC, as all times of the tables are.
 */
export function momentOf(given: unknown): number | undefined {
  const text = typeof given === 'string' ? given : ''
  const day = /^\d{4}-\d{2}-\d{2}/.exec(text)?.[0]
  if (day === undefined || !(new Date(`${day}T00:00Z`).toJSON() ?? '').startsWith(day))
    return undefined
  const unzoned = /^\d{4}-\d{2}-\d{2}[T ][\d:.]+$/.test(text)
  const ms = Date.parse(unzoned ? `${text.replace(' ', 'T')}Z` : text)
  return Number.isNaN(ms) ? undefined : ms
}

/** A moment from a command's own flag, ms. */
export function moment(flag: string, given: unknown): number {
  const ms = momentOf(given)
  if (ms !== undefined) return ms
  throw new FreshetError(
    'CALL_INVALID',
    `--${flag} got ${given === undefined ? 'nothing' : JSON.stringify(given)}; it takes a time such as 2026-01-31 or 2026-01-31T12:00:00Z`,
  )
}

/** Writes the answer: an object for --json (a function makes one that costs something), else text. */
export function answer(call: Call, machine: unknown, text: () => string): void {
  const made = () => JSON.stringify(typeof machine === 'function' ? machine() : machine)
  process.stdout.write(`${call.json ? made() : text()}\n`)
}
