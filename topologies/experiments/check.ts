/** What is wrong with a definition, as sentences: in itself, and beside what stands. Pure. */
import type { Experiment } from '../../schemas/index.ts'
import { figureNames } from './metrics.ts'
import { refusedOverride } from './overrides.ts'

export const builtIn = 'exploration'

const nameTakes = '1 to 64 of a-z, 0-9, dash and underscore'
const isName = (given: string): boolean => /^[a-z0-9_-]{1,64}$/.test(given)

/** @param ranker the option's value, where it is known. */
export function problemsOf(given: Experiment, ranker?: string): string[] {
  const { experiment, arms, salt, control, metrics, guardrails, start, end } = given
  const found: string[] = []
  const say = (isWrong: boolean, sentence: string): void => {
    if (isWrong) found.push(sentence)
  }
  const got = (value: unknown): string => `got ${JSON.stringify(value)}`
  say(!isName(experiment), `experiment ${got(experiment)}; it takes ${nameTakes}`)
  say(experiment === builtIn, `${builtIn} is built in (explore.holdout); take another name`)
  say(salt.length > 256 || /[\n\r]/.test(salt), 'salt takes at most 256 characters of one line')
  const names = arms.map(({ name }) => name)
  say(arms.length < 2, `arms: ${arms.length} of them; an experiment compares two or more`)
  let sum = 0
  arms.forEach(({ name, share, overrides }, k) => {
    say(!isName(name), `arms.${k}.name ${got(name)}; it takes ${nameTakes}`)
    say(names.indexOf(name) !== k, `arms.${k}.name ${got(name)}, which another arm has`)
    say(
      !(share > 0 && share <= 1),
      `arms.${k}.share ${got(share)}; it takes a number above 0, up to 1`,
    )
    sum += share
    for (const [option, value] of Object.entries(overrides)) {
      const refused = refusedOverride(option, value, ranker)
      say(refused !== '', `arms.${k}.overrides: ${refused}`)
    }
  })
  say(sum > 1 + 1e-9, `the shares of the arms sum to ${Number(sum.toFixed(9))}; 1 is all users`)
  say(
    !names.includes(control),
    `control ${got(control)}; it takes the arm that the others are compared with: ${names.join(', ') || 'none'}`,
  )
  const known = figureNames.join(', ')
  for (const metric of metrics)
    say(!figureNames.includes(metric), `metrics: ${JSON.stringify(metric)} is none of ${known}`)
  say(new Set(metrics).size < metrics.length, 'metrics: one stands there twice')
  for (const [metric, margin] of Object.entries(guardrails)) {
    say(!figureNames.includes(metric), `guardrails: ${JSON.stringify(metric)} is none of ${known}`)
    say(
      !(margin >= 0 && Number.isFinite(margin)),
      `guardrails.${metric} ${got(margin)}; it takes the loss that is accepted, 0 or more, in the metric's unit`,
    )
  }
  say(
    end !== null && !(start < end),
    `start ${iso(start)} is not before end ${end === null ? '' : iso(end)}`,
  )
  return found
}

/**
 * What speaks against putting `next` now, beside what stands.
 * @param standing the definitions on the topic by name. @param now ms.
 */
export function conflictsOf(
  next: Experiment,
  standing: ReadonlyMap<string, Experiment>,
  now: number,
): string[] {
  const { experiment, end } = next
  const found: string[] = []
  if (end !== null && end <= now)
    found.push(`end ${iso(end)} has passed; \`freshet experiments stop ${experiment}\` ends one`)
  const before = standing.get(experiment)
  if (before !== undefined && before.start <= now) found.push(...changesOf(before, next, now))
  for (const other of standing.values()) {
    if (other.experiment === experiment || !overlap(other, next, now)) continue
    const both = overriddenBy(next).filter(option => overriddenBy(other).includes(option))
    if (both.length > 0)
      found.push(
        `${other.experiment}, which runs at the same time, changes ${both.join(', ')} too: a user in both could get only one of them. Stop it, or begin after its end`,
      )
  }
  return found
}

/** Of one that has begun. */
function changesOf(before: Experiment, next: Experiment, now: number): string[] {
  const { experiment } = before
  const anew = `put it under another name, which deals all users anew`
  if (before.end !== null && before.end <= now)
    return [`${experiment} ended at ${iso(before.end)}, and its users' outcomes with it: ${anew}`]
  const changed: string[] = []
  const differ = (what: string, of: (e: Experiment) => unknown): void => {
    if (JSON.stringify(of(before)) !== JSON.stringify(of(next))) changed.push(what)
  }
  differ('arms', ({ arms }) => arms.map(({ name }) => name))
  differ('shares', ({ arms }) => arms.map(({ share }) => share))
  differ('overrides', ({ arms }) => arms.map(({ overrides }) => Object.entries(overrides).sort()))
  differ('salt', ({ salt }) => salt)
  differ('control', ({ control }) => control)
  differ('start', ({ start }) => start)
  if (changed.length === 0) return []
  return [
    `${experiment} runs since ${iso(before.start)}, and its ${changed.join(', ')} would change: users would move between arms, or be counted under what they did not see. \`freshet experiments stop ${experiment}\`, then ${anew}`,
  ]
}

function overriddenBy({ arms }: Experiment): string[] {
  return [...new Set(arms.flatMap(({ overrides }) => Object.keys(overrides)))]
}

function overlap(a: Experiment, b: Experiment, now: number): boolean {
  const endOf = ({ end }: Experiment): number => end ?? Number.POSITIVE_INFINITY
  return endOf(a) > Math.max(now, b.start) && endOf(b) > a.start
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
