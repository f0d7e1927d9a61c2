/**
 * The policy file (`topk.policies`): what each surface shows and how it explores, in one JSON a deployment can review. Parsed
 * strictly: a key that nobody reads is an error, and all errors are told at once, each with its path, what stands there and
 * what it takes. docs/lists.md has every key.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { duration, durationTakes } from '../../streams/option-types.ts'
import type { Group } from './groups.ts'
import { MOST_GROUPS } from './rules.ts'

const surfaceName = /^[a-z0-9-]+$/

const numberFrom = (min: number, max: number) => {
  const takes = `a number from ${min} to ${max}`
  return z.number(takes).min(min, takes).max(max, takes)
}
const whole = (min: number, max: number) => {
  const takes = `a whole number from ${min} to ${max}`
  return z.number(takes).int(takes).min(min, takes).max(max, takes)
}
const text = (takes = 'a text') => z.string(takes).min(1, takes)
const texts = z
  .union(
    [text(), z.array(text()).min(1, 'a text, or a list of texts')],
    'a text, or a list of texts',
  )
  .transform(given => (typeof given === 'string' ? [given] : given))
const ms = z
  .unknown()
  .refine(given => duration().safeParse(given).success, durationTakes)
  .transform(given => duration().parse(given))
const flag = z.boolean('true or false')

const group = z.strictObject({
  topic: texts.optional(),
  creator: texts.optional(),
  language: texts.optional(),
  attributes: z.record(text(), texts, 'attributes with their values').optional(),
})

const surface = z.strictObject({
  profile: z.enum(['default', 'short-form'], 'default or short-form').optional(),
  size: whole(1, 200).optional(),
  policy: z
    .enum(['plackett-luce', 'epsilon', 'thompson'], 'plackett-luce, epsilon or thompson')
    .optional(),
  temperature: numberFrom(0, 100).optional(),
  epsilon: numberFrom(0, 1).optional(),
  epsilons: z
    .array(numberFrom(0, 1), 'a list of numbers from 0 to 1')
    .min(1, 'at least one')
    .max(16, 'at most 16')
    .optional(),
  samples: whole(1, 1_000).optional(),
  rateWeight: numberFrom(0, 10).optional(),
  mmr: numberFrom(0, 10).optional(),
  mmrPositions: whole(0, 200).optional(),
  creatorCap: whole(0, 200).optional(),
  topicRun: whole(0, 200).optional(),
  restricted: flag.optional(),
  fresh: z
    .strictObject({ atLeast: whole(1, 200), ofFirst: whole(1, 200), youngerThan: ms })
    .refine(({ atLeast, ofFirst }) => atLeast <= ofFirst, 'atLeast of at most ofFirst')
    .optional(),
  floors: z
    .array(
      z.strictObject({ group: text(), share: numberFrom(0, 1), after: whole(0, 200).default(5) }),
    )
    .optional(),
  caps: z.array(z.strictObject({ group: text(), most: whole(1, 200) })).optional(),
  explore: z
    .strictObject({ perList: whole(0, 200).optional(), perDay: whole(0, 100_000).optional() })
    .optional(),
  candidates: whole(1, 2_000).optional(),
  minInterval: ms.optional(),
  history: z.enum(['all', 'session'], 'all or session').optional(),
})

const file = z
  .strictObject(
    {
      version: whole(1, 1_000_000).default(1),
      context: z.array(text(), "a list of keys of the events' context").default([]),
      groups: z.record(text(), group, 'groups by name').default({}),
      surfaces: z
        .record(
          z.string().regex(surfaceName, 'a surface of a-z, 0-9 and -'),
          surface,
          'surfaces by name',
        )
        .default({}),
    },
    'what docs/lists.md describes',
  )
  .superRefine(({ groups, surfaces }, ctx) => {
    const names = Object.keys(groups)
    const path = ['groups']
    if (names.length > MOST_GROUPS)
      ctx.addIssue({ code: 'custom', path, message: `at most ${MOST_GROUPS} groups` })
    for (const [name, { floors = [], caps = [] }] of Object.entries(surfaces)) {
      const known =
        names.length > 0
          ? `a group of the file: ${names.join(', ')}`
          : 'a group, of which the file declares none'
      for (const [key, rules] of Object.entries({ floors, caps }))
        rules.forEach((rule, k) => {
          if (!names.includes(rule.group))
            ctx.addIssue({
              code: 'custom',
              path: ['surfaces', name, key, k, 'group'],
              message: known,
            })
        })
      const sum = floors.reduce((total, { share }) => total + share, 0)
      if (sum > 1 + 1e-9)
        ctx.addIssue({
          code: 'custom',
          path: ['surfaces', name, 'floors'],
          message: `shares that sum to 1 at most, these to ${Number(sum.toFixed(6))}`,
        })
    }
  })

/** What a surface says of its own; the rest is its profile's, then the options'. */
export type SurfaceGiven = z.infer<typeof surface>

export interface PolicyFile {
  /** Names the policies in the lists: `mix-pl@3`. */
  readonly version: number
  /** Keys of the events' context by which users are dealt to the epsilons. */
  readonly context: readonly string[]
  readonly groups: readonly Group[]
  readonly surfaces: Readonly<Record<string, SurfaceGiven>>
  /** The option's text: it gives the same value again (`config show`, calls of further workers). */
  toString(): string
  toJSON(): string
}

/** The option's value: a file's name, or what would stand in it. '' is none. */
export const policyFile: z.ZodType<PolicyFile> = z
  .union([z.string(), z.record(z.string(), z.unknown())])
  .transform(given => {
    if (given === '') return noPolicies
    if (typeof given !== 'string') return parsePolicies(given, JSON.stringify(given))
    return parsePolicies(readPolicies(given), given)
  })

/** Errors: OPTION_INVALID for a file that can't be read or is no JSON. */
function readPolicies(name: string): unknown {
  try {
    return JSON.parse(name.startsWith('{') ? name : readFileSync(name, 'utf8'))
  } catch (error) {
    throw new FreshetError(
      'OPTION_INVALID',
      `option topk.policies: ${name} can't be read as JSON (${messageOf(error)}); it takes a file as docs/lists.md describes`,
      error,
    )
  }
}

/** `origin`: the option's text. Errors: OPTION_INVALID for what nobody takes. */
function parsePolicies(given: unknown, origin: string): PolicyFile {
  const parsed = file.safeParse(given)
  if (!parsed.success)
    throw new FreshetError(
      'OPTION_INVALID',
      `option topk.policies${origin.startsWith('{') ? '' : ` (${origin})`}: ${parsed.error.issues.map(issue => sentence(issue, given)).join('; ')}`,
    )
  const { version, context, groups, surfaces } = parsed.data
  return {
    version,
    context,
    groups: Object.entries(groups).map(([name, { topic, creator, language, attributes }]) => ({
      name,
      topic: topic ?? [],
      creator: creator ?? [],
      language: language ?? [],
      attributes: Object.entries(attributes ?? {}),
    })),
    surfaces,
    toString: () => origin,
    toJSON: () => origin,
  }
}

export const noPolicies = parsePolicies({}, '')

function sentence(issue: z.core.$ZodIssue, given: unknown): string {
  const { path } = issue
  const at = path.length > 0 ? path.join('.') : 'the file'
  if (issue.code === 'unrecognized_keys')
    return `${at} has ${issue.keys.map(key => JSON.stringify(key)).join(', ')}, which nothing reads; docs/lists.md has the keys`
  if (issue.code === 'invalid_key')
    return `${at} is no name; it takes ${issue.issues[0]?.message ?? issue.message}`
  let found: unknown = given
  for (const key of path)
    found = typeof found === 'object' && found !== null ? Reflect.get(found, key) : undefined
  const got = found === undefined ? 'nothing' : JSON.stringify(found)
  return `${at} got ${got}; it takes ${issue.message}`
}
