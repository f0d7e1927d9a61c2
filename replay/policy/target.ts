/**
 * What is evaluated: a policy (a file as `topk.policies` takes, or a short form such as `temperature=0.5,mmr=0` that changes every
 * surface of the present one), a table of chances, or a pushed model.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { type PolicyFile, policyFile } from '../../topologies/topk/policy-file.ts'
import type { SlateRules } from '../../topologies/topk/rules.ts'
import { surfacePolicies, type TopkOptions } from '../../topologies/topk/surfaces.ts'
import { type ActionTable, readActionTable } from './action-table.ts'

export type Target =
  | { readonly kind: 'table'; readonly name: string; readonly table: ActionTable }
  | {
      readonly kind: 'rules'
      readonly name: string
      readonly bySurface: ReadonlyMap<string, SlateRules>
      readonly notes: readonly string[]
    }
  | {
      readonly kind: 'model'
      readonly name: string
      /** Of a pushed model, NAME or NAME@SHA256; or a file of one. */
      readonly model: string
      readonly isFile: boolean
      readonly bySurface: ReadonlyMap<string, SlateRules>
      readonly notes: readonly string[]
    }

const takes =
  'it takes a policy file (JSON, docs/lists.md), a short form such as temperature=0.5, a table of chances (CSV or JSONL with item,p), model:NAME, or a file of a model (.onnx)'

/** `options`: those of the run that drew. Errors: CALL_INVALID, OPTION_INVALID. */
export function parseTarget(given: string, options: TopkOptions): Target {
  if (given.startsWith('model:')) return modelTarget(given, given.slice(6), false, options)
  if (existsSync(given)) {
    const name = basename(given)
    if (given.endsWith('.onnx')) return modelTarget(name, given, true, options)
    const file = jsonOf(given)
    if (file === undefined) return { kind: 'table', name, table: readActionTable(given) }
    return rulesTarget(name, file, options)
  }
  if (!given.includes('='))
    throw new FreshetError(
      'CALL_INVALID',
      `--target got ${JSON.stringify(given)}, and there is no such file; ${takes}`,
    )
  return rulesTarget(given, withChanges(shortForm(given), options), options)
}

/** The surfaces' rules as they are, over another ranker's logits. */
function modelTarget(name: string, model: string, isFile: boolean, options: TopkOptions): Target {
  const present = rulesTarget(name, withChanges({}, options), options)
  if (present.kind !== 'rules') throw new FreshetError('BUG', `rules are ${present.kind}`)
  const { bySurface, notes } = present
  return { kind: 'model', name, model, isFile, bySurface, notes }
}

/** The file's JSON object where it is one that a policy file may be; undefined: it is a table. */
function jsonOf(file: string): Record<string, unknown> | undefined {
  const text = readFileSync(file, 'utf8').trim()
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (error) {
    // one object a line
    if (/^\{[^\n]*\}\s*\n/.test(text)) return undefined
    throw new FreshetError(
      'CALL_INVALID',
      `--target ${file} can't be read as JSON: ${messageOf(error)}; ${takes}`,
      error,
    )
  }
}

function shortForm(given: string): Record<string, unknown> {
  const changes: Record<string, unknown> = {}
  for (const part of given.split(',')) {
    const at = part.indexOf('=')
    if (at < 1)
      throw new FreshetError('CALL_INVALID', `--target got ${JSON.stringify(part)}; ${takes}`)
    const value = part.slice(at + 1).trim()
    const number = Number(value)
    changes[part.slice(0, at).trim()] = value !== '' && !Number.isNaN(number) ? number : value
  }
  return changes
}

/** The present policy file with the changes in every surface. */
function withChanges(
  changes: Readonly<Record<string, unknown>>,
  options: TopkOptions,
): Record<string, unknown> {
  const origin = options['topk.policies'].toString()
  const present = (
    origin === '' ? {} : JSON.parse(origin.startsWith('{') ? origin : readFileSync(origin, 'utf8'))
  ) as { surfaces?: Record<string, object> }
  return {
    ...present,
    surfaces: Object.fromEntries(
      options['topk.surfaces'].map(name => [name, { ...present.surfaces?.[name], ...changes }]),
    ),
  }
}

function rulesTarget(name: string, given: Record<string, unknown>, options: TopkOptions): Target {
  const file: PolicyFile = policyFile.parse(given)
  const logged = options['topk.policies']
  if (file.groups.length > 0 && JSON.stringify(file.groups) !== JSON.stringify(logged.groups))
    throw new FreshetError(
      'CALL_INVALID',
      `--target ${name} declares groups that are not those of option topk.policies: what a logged candidate belongs to is only known of the groups it was logged with`,
    )
  const notes = new Set<string>()
  const bySurface = new Map<string, SlateRules>()
  const before = new Map(surfacePolicies(options).map(policy => [policy.name, policy]))
  for (const policy of surfacePolicies({ ...options, 'topk.policies': file })) {
    const { rules, epsilons, explorePerList, candidates, history, youngerThanMs } = policy
    const of = `--target ${name}, surface ${policy.name}`
    if (rules.policy === 'thompson')
      throw new FreshetError(
        'CALL_INVALID',
        `${of} is thompson, whose chances depend on samples that no row has; try it on a part of the traffic instead`,
      )
    if (epsilons.length > 1)
      throw new FreshetError(
        'CALL_INVALID',
        `${of} deals epsilons by context, which no row of slates has; name one: epsilon=.05`,
      )
    const old = before.get(policy.name)
    if (old && (old.candidates !== candidates || old.history !== history))
      notes.add(
        'candidates and history are as they were logged: the target would retrieve others, which no log can tell',
      )
    if (old && rules.fresh !== null && youngerThanMs !== old.youngerThanMs)
      throw new FreshetError(
        'CALL_INVALID',
        `${of}: fresh.youngerThan differs from the logged one; which candidates were fresh is only known by that`,
      )
    if (old && rules.mmr > 0 && old.rules.mmr === 0)
      throw new FreshetError(
        'CALL_INVALID',
        `${of} has mmr ${rules.mmr}, and was drawn with 0: how alike candidates are is in no row that was; try it on a part of the traffic instead`,
      )
    if (old?.rules.policy === 'thompson' && old.rules.rateWeight > 0)
      notes.add(
        `${policy.name} is drawn by thompson: its logits hold what the expected rate adds (rateWeight), and the target is told with it`,
      )
    if (policy.explorePerDay < Number.POSITIVE_INFINITY)
      notes.add("explore.perDay is not looked at: no row has what of a user's day was left")
    bySurface.set(policy.name, {
      ...rules,
      epsilon: epsilons[0] ?? rules.epsilon,
      exploreMost: explorePerList >= rules.size ? Number.POSITIVE_INFINITY : explorePerList,
    })
  }
  return { kind: 'rules', name, bySurface, notes: [...notes] }
}
