/** A definition as a person writes it: JSON with the fields of freshet.Experiment; times in ms or ISO-8601. */
import { z } from 'zod'
import type { Experiment } from '../../schemas/index.ts'
import { FreshetError } from '../../streams/errors.ts'

const timeTakes = 'a time as 2026-01-31T12:00:00Z, or ms'
const time = z.union([z.number(), z.string()], timeTakes).transform((given, ctx) => {
  const at = typeof given === 'number' ? given : Date.parse(given)
  if (Number.isInteger(at) && at >= 0) return at
  ctx.addIssue({ code: 'custom', message: timeTakes })
  return z.NEVER
})

const file = z.strictObject(
  {
    experiment: z.string('a text'),
    arms: z.array(
      z.strictObject({
        name: z.string('a text'),
        share: z.number('a number from 0 to 1'),
        overrides: z
          .record(
            z.string(),
            z.union([z.string(), z.number(), z.boolean()], 'a text, a number, true or false'),
          )
          .default({}),
      }),
      'a list of arms',
    ),
    salt: z.string('a text').default(''),
    control: z.string('the name of an arm'),
    metrics: z.array(z.string('a text'), 'a list of metrics').default([]),
    guardrails: z.record(z.string(), z.number('a number'), 'metrics with margins').default({}),
    start: time.optional(),
    end: time.nullable().default(null),
  },
  'the fields of an experiment (docs/experiments.md)',
)

/** @param now begin of one that names none, ms. Errors: CALL_INVALID says all that is wrong with it. */
export function parseDefinition(given: unknown, now: number): Experiment {
  const parsed = file.safeParse(given)
  if (!parsed.success)
    throw new FreshetError(
      'CALL_INVALID',
      `the experiment does not fit: ${parsed.error.issues.map(sentence).join('; ')}`,
    )
  const { arms, start = now, ...rest } = parsed.data
  return {
    ...rest,
    start,
    arms: arms.map(({ overrides, ...arm }) => ({
      ...arm,
      overrides: Object.fromEntries(
        Object.entries(overrides).map(([name, value]) => [name, String(value)]),
      ),
    })),
  }
}

function sentence(issue: z.core.$ZodIssue): string {
  const at = issue.path.length > 0 ? issue.path.join('.') : 'the file'
  if (issue.code === 'unrecognized_keys')
    return `${at} has ${issue.keys.map(key => JSON.stringify(key)).join(', ')}, which nothing reads`
  return `${at}: it takes ${issue.message}`
}
