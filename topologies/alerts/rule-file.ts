/**
 * The rules file (`alerts.rules`): what it adds to the built-in rules, changes in them by name, or switches off. Parsed
 * strictly: a key that nobody reads is an error, and all errors are told at once, each with its rule, what stands there and
 * what it takes. docs/alerts.md has every key.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { Condition } from './condition.ts'
import { hasN, type JudgedTable, judgedTables, keysOf, tables } from './tables.ts'

/** Sizes of windows that a rule may name. */
export const windowSizes = { '1m': 60_000, '1h': 3_600_000, '1d': 86_400_000 } as const
export type WindowSize = keyof typeof windowSizes

const numberTakes = 'a number'
const wholeTakes = 'a whole number from 1 to 1000'
const whole = z.number(wholeTakes).int(wholeTakes).min(1, wholeTakes).max(1_000, wholeTakes)
const limitTakes = 'a number, or "threshold" for the row\'s own'
const limit = z.union([z.number(), z.literal('threshold')], limitTakes)
const patternTakes =
  'a text; "*" or an end such as "surface=*" stands for any, "!x" for all but x; or a list of them'
const pattern = z.union([z.string(), z.array(z.string()).min(1)], patternTakes)
const outsideTakes = 'two numbers, the lower one first'

const rule = z.strictObject({
  name: z
    .string('a name of a-z, 0-9, _ and -')
    .regex(/^[a-z0-9_-]{1,60}$/, 'a name of a-z, 0-9, _ and -, at most 60'),
  off: z.boolean('true or false').optional(),
  table: z.enum(judgedTables, judgedTables.join(', ')).optional(),
  where: z.record(z.string(), pattern, 'columns with what they must hold').optional(),
  column: z.string('the name of a column').optional(),
  window: z.enum(['1m', '1h', '1d'], '1m, 1h or 1d').optional(),
  above: limit.optional(),
  below: limit.optional(),
  outside: z
    .tuple([z.number(), z.number()], outsideTakes)
    .refine(([low, high]) => low < high, outsideTakes)
    .optional(),
  drop: z
    .number('a share, over 0 and below 1')
    .gt(0, 'a share, over 0 and below 1')
    .lt(1, 'a share, over 0 and below 1')
    .optional(),
  against: whole.optional(),
  is: z.union([z.string(), z.array(z.string()).min(1)], 'a text, or a list of texts').optional(),
  atLeast: z.number(numberTakes).optional(),
  minN: z.number(numberTakes).min(0, 'a number from 0').optional(),
  raise: whole.optional(),
  clear: whole.optional(),
})

const file = z.strictObject(
  { rules: z.array(rule, 'a list of rules').max(500, 'at most 500 rules') },
  '{"rules": [...]}, as docs/alerts.md describes',
)

/** A rule as it is written; of a built-in one only what is to change. */
export type GivenRule = z.infer<typeof rule>

export interface Rule {
  readonly name: string
  readonly table: JudgedTable
  /** Column to the patterns of which one must fit. */
  readonly where: ReadonlyMap<string, readonly string[]>
  readonly column: string
  /** undefined where rows are of a moment. */
  readonly window: WindowSize | undefined
  readonly condition: Condition
  readonly minN: number
  readonly raise: number
  readonly clear: number
}

export interface RuleFile {
  readonly rules: readonly GivenRule[]
  /** The option's text: it gives the same value again (`config show`, calls of further workers). */
  toString(): string
  toJSON(): string
}

/** The option's value: a file's name, or what would stand in it. '' is none. */
export const ruleFile: z.ZodType<RuleFile> = z
  .union([z.string(), z.record(z.string(), z.unknown())])
  .transform(given => {
    if (given === '') return noRules
    if (typeof given !== 'string') return parseFile(given, JSON.stringify(given))
    return parseFile(readRules(given), given)
  })

/** Errors: OPTION_INVALID for a file that can't be read or is no JSON. */
function readRules(name: string): unknown {
  try {
    return JSON.parse(name.startsWith('{') ? name : readFileSync(name, 'utf8'))
  } catch (error) {
    throw new FreshetError(
      'OPTION_INVALID',
      `option alerts.rules: ${name} can't be read as JSON (${messageOf(error)}); it takes a file as docs/alerts.md describes`,
      error,
    )
  }
}

/** `origin`: the option's text. Errors: OPTION_INVALID for what nobody takes. */
function parseFile(given: unknown, origin: string): RuleFile {
  const parsed = file.safeParse(given)
  const faults = parsed.success
    ? repeatedNames(parsed.data.rules)
    : parsed.error.issues.map(issue => sentence(issue, given))
  if (faults.length > 0) throw refusal(faults, origin)
  return {
    rules: parsed.data?.rules ?? [],
    toString: () => origin,
    toJSON: () => origin,
  }
}

export const noRules: RuleFile = { rules: [], toString: () => '', toJSON: () => '' }

function refusal(faults: readonly string[], origin: string): FreshetError {
  const where = origin === '' || origin.startsWith('{') ? '' : ` (${origin})`
  return new FreshetError('OPTION_INVALID', `option alerts.rules${where}: ${faults.join('; ')}`)
}

function repeatedNames(rules: readonly GivenRule[]): string[] {
  const seen = new Set<string>()
  const faults: string[] = []
  for (const { name } of rules) {
    if (seen.has(name)) faults.push(`rule ${name} stands there twice; it takes each name once`)
    seen.add(name)
  }
  return faults
}

function sentence(issue: z.core.$ZodIssue, given: unknown): string {
  const { path } = issue
  let found: unknown = given
  for (const key of path)
    found = typeof found === 'object' && found !== null ? Reflect.get(found, key) : undefined
  const at = addressOf(path, given)
  if (issue.code === 'unrecognized_keys')
    return `${at} has ${issue.keys.map(key => JSON.stringify(key)).join(', ')}, which nothing reads; docs/alerts.md has the keys`
  return `${at} got ${found === undefined ? 'nothing' : JSON.stringify(found)}; it takes ${issue.message}`
}

function addressOf(path: readonly PropertyKey[], given: unknown): string {
  if (path.length === 0) return 'the file'
  if (path[0] !== 'rules' || path.length < 2) return path.join('.')
  const list = (given as { rules: { name?: unknown }[] }).rules
  const name = list[Number(path[1])]?.name
  const which =
    typeof name === 'string' ? `rule ${name}` : `rule ${Number(path[1]) + 1} of the file`
  return path.length > 2 ? `${which}: ${path.slice(2).join('.')}` : which
}

/**
 * The rules in force: the built-in ones as the file changes them, then the file's own, without those that are off.
 * Errors: OPTION_INVALID names each rule that is not whole or contradicts itself.
 */
export function rulesInForce(builtIn: readonly GivenRule[], given: RuleFile): readonly Rule[] {
  const changed = new Map(given.rules.map(each => [each.name, each]))
  const merged = builtIn.map(each => withChange(each, changed.get(each.name)))
  const known = new Set(builtIn.map(each => each.name))
  merged.push(...given.rules.filter(each => !known.has(each.name)))
  const faults: string[] = []
  const rules: Rule[] = []
  for (const each of merged) {
    if (each.off) continue
    const made = complete(each)
    if (Array.isArray(made)) faults.push(...made.map(fault => `rule ${each.name}: ${fault}`))
    else rules.push(made as Rule)
  }
  if (faults.length > 0) throw refusal(faults, given.toString())
  return rules
}

const conditionKeys = ['above', 'below', 'outside', 'drop', 'is'] as const

/** A change that names a condition takes the place of the one before, with what belongs to it. */
function withChange(before: GivenRule, change: GivenRule | undefined): GivenRule {
  if (!change) return before
  const kept: Record<string, unknown> = { ...before }
  if (conditionKeys.some(key => change[key] !== undefined))
    for (const key of [...conditionKeys, 'against', 'atLeast']) delete kept[key]
  return { ...kept, ...change }
}

/** The rule, or what is wrong with it. */
function complete(given: GivenRule): Rule | string[] {
  const { name, table, column, where = {}, window, minN } = given
  if (table === undefined) return [`table got nothing; it takes ${judgedTables.join(', ')}`]
  const spec = tables[table]
  const columns = Object.keys(spec.columns)
  if (column === undefined || !columns.includes(column))
    return [
      `column got ${JSON.stringify(column) ?? 'nothing'}; of ${table} it takes ${columns.join(', ')}`,
    ]
  const faults: string[] = []
  const keys = keysOf(table, column)
  for (const key of Object.keys(where))
    if (!keys.includes(key))
      faults.push(`where got ${key}; for ${column} of ${table} it takes ${keys.join(', ')}`)
  if (spec.windows && window === undefined) faults.push('window got nothing; it takes 1m, 1h or 1d')
  if (!spec.windows && window !== undefined)
    faults.push(`window got ${window}; rows of ${table} have none, leave it out`)
  if (minN !== undefined && !hasN(table, column))
    faults.push(`minN got ${minN}; nothing says how many rows ${column} of ${table} is made of`)
  const condition = conditionOf(given, spec.columns[column].text === true, faults)
  if (faults.length > 0 || condition === undefined) return faults
  return {
    name,
    table,
    column,
    where: new Map(Object.entries(where).map(([key, value]) => [key, [value].flat()])),
    window,
    condition,
    minN: minN ?? 0,
    raise: given.raise ?? 2,
    clear: given.clear ?? 3,
  }
}

function conditionOf(given: GivenRule, isText: boolean, faults: string[]): Condition | undefined {
  const { above, below, outside, drop, is, against, atLeast } = given
  const told = conditionKeys.filter(key => given[key] !== undefined)
  if (told.length !== 1) {
    faults.push(
      `it has ${told.join(' and ') || 'no condition'}; it takes one of ${conditionKeys.join(', ')}`,
    )
    return undefined
  }
  if (isText !== (is !== undefined))
    faults.push(
      isText
        ? `${told[0]} is for numbers; ${given.column} is a text and takes is`
        : `is got a text; ${given.column} is a number`,
    )
  if (against !== undefined && drop === undefined) faults.push('against goes with drop alone')
  if (drop !== undefined && against === undefined)
    faults.push('against got nothing; drop takes how many windows before it is held against')
  if (atLeast !== undefined && above === undefined) faults.push('atLeast goes with above alone')
  if ((above ?? below) === 'threshold' && given.table !== 'drift')
    faults.push(`rows of ${given.table} have no threshold of their own; it takes a number`)
  if (above !== undefined) return { kind: 'above', limit: above, atLeast }
  if (below !== undefined) return { kind: 'below', limit: below }
  if (outside !== undefined) return { kind: 'outside', low: outside[0], high: outside[1] }
  if (drop !== undefined) return { kind: 'drop', share: drop, against: against ?? 1 }
  return { kind: 'is', texts: [is ?? ''].flat() }
}
