/**
 * Which options a replay keeps: all that decide what it computes, as they were when it was started, whatever the environment
 * says when it goes on. Where things are and who asks (connections, passwords, keys, logging) is of each call.
 */
import { readFileSync } from 'node:fs'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { FreshetError } from '../../streams/errors.ts'
import { allOptions } from '../all-options.ts'
import type { Call, Values } from '../call.ts'

type OptionName = keyof typeof allOptions

const OF_THE_CALL =
  /^(kafka|redis|clickhouse|schemaRegistry|log|http|data|topics|application|input|pipeline|privacy|alerts)\.(?!rules)/

export const isOfTheCall = (name: string): boolean => OF_THE_CALL.test(name)

/** By name, as text: what was given of them, by flag, variable or file. */
export function keptOptions(call: Call): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const { name, from } of call.resolved)
    if (from !== 'default' && name !== 'topologies' && !isOfTheCall(name))
      kept[name] = textOf(call, name, from)
  return kept
}

function textOf({ flags }: Call, name: string, from: string): string {
  if (from === 'flag') {
    const pairs = (flags.set as string[]).filter(pair => pair.startsWith(`${name}=`))
    const own = flags[name]
    return typeof own === 'string' ? own : (pairs.at(-1)?.slice(name.length + 1) ?? '')
  }
  if (from.startsWith('FRESHET_')) return process.env[from] ?? ''
  const file = JSON.parse(readFileSync(String(flags.config), 'utf8')) as Record<string, unknown>
  const value = file[name]
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/**
 * The values to run a replay with: the call's own for what is of the call, else defaults, over which the spec's stand
 * (`replayValues`). Errors: CALL_INVALID for a flag that contradicts the spec.
 */
export function valuesToRun(call: Call, spec: Pick<ReplaySpec, 'name' | 'set'>): Values {
  const values: Record<string, unknown> = { ...call.values }
  for (const { name, from } of call.resolved) {
    if (isOfTheCall(name)) continue
    values[name] = allOptions[name as OptionName].default
    if (from !== 'flag' || name === 'topologies') continue
    const given = textOf(call, name, from)
    if (given === spec.set[name]) continue
    throw new FreshetError(
      'CALL_INVALID',
      `--set ${name}=${given}: replay ${spec.name} was started with ${name in spec.set ? spec.set[name] : 'the default'}, and what it has computed stands on that; leave it out, or start another replay`,
    )
  }
  return values as Values
}

/** Options by which rows of the state came to be what they are, by the beginning of their names. */
const SHAPES_STATE = [
  'session.gap',
  'late.grace',
  'labels.',
  'popularity.',
  'covisit.neighbours',
  'learner.',
  'drift.',
  'statistics.partitions',
  'catalog.required',
]

export const shapesState = (name: string): boolean =>
  SHAPES_STATE.some(start => name.startsWith(start))

/**
 * Refuses options that contradict the state that is to go on. `before`: what it came to be with, by name.
 * Errors: CALL_INVALID.
 */
export function refuseOtherState(
  kept: Readonly<Record<string, string>>,
  before: (name: string) => string | undefined,
  whose: string,
): void {
  for (const [name, given] of Object.entries(kept)) {
    if (!shapesState(name) || before(name) === given) continue
    throw new FreshetError(
      'CALL_INVALID',
      `--set ${name}=${given} contradicts --state ${whose}, whose rows came to be with ${before(name) ?? 'the default'}: leave it out, or begin with --state empty`,
    )
  }
}

/** Errors: CALL_INVALID for a replay that would write where the live system does. */
export function refuseLivePlaces({ flags, values }: Call, name: string): void {
  const pairs = (flags.set as string[]).map(pair => pair.slice(0, pair.indexOf('=')))
  if (pairs.includes('redis.prefix') || typeof flags['redis.prefix'] === 'string')
    throw new FreshetError(
      'CALL_INVALID',
      `redis.prefix can't be set for a replay: it writes under the live prefix with @${name} in it, so that it never meets a live key; the live one is named by FRESHET_REDIS_PREFIX or --config`,
    )
  if (values['redis.prefix'].includes(`@${name}`))
    throw new FreshetError(
      'CALL_INVALID',
      `option redis.prefix got ${values['redis.prefix']}, which is a replay's of the name ${name}: a replay would write into what is read there; take another name`,
    )
}
