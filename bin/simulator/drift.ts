/**
 * Drift put into the simulated stream at a named time, as `freshet simulate --drift` takes it: SUBJECT[:KIND[=AMOUNT]]@TIME.
 *   watched_ratio@300s             watched part of a play x 0.5 from 300 s after the start
 *   watched_ratio:shift=-0.2@5m    the same minus 0.2
 *   watched_ratio:scale=0.7@5m
 *   context.device:new=tv@5m       a third of the sessions from then on have a value never seen before
 *   label:flip=0.3@5m              30% of the plays end the other way than the viewer's taste says
 */
import { FreshetError } from '../../streams/errors.ts'
import { duration } from '../../streams/option-types.ts'

export type Drift =
  | { readonly kind: 'scale' | 'shift'; readonly amount: number; readonly afterMs: number }
  | { readonly kind: 'new'; readonly key: string; readonly value: string; readonly afterMs: number }
  | { readonly kind: 'flip'; readonly amount: number; readonly afterMs: number }

const form = /^(watched_ratio|label|context\.[\w-]+)(?::(shift|scale|new|flip)(?:=([^@]+))?)?@(.+)$/

/** Errors: OPTION_INVALID. */
export function parseDrift(text: string): Drift {
  const match = form.exec(text)
  const after = duration().safeParse(match?.[4])
  if (!match || !after.success) throw invalid(text)
  const [, subject, kind, amount] = match
  const afterMs = after.data
  if (subject === 'watched_ratio' && (kind === undefined || kind === 'scale'))
    return { kind: 'scale', amount: numberOf(text, amount, 0.5), afterMs }
  if (subject === 'watched_ratio' && kind === 'shift')
    return { kind, amount: numberOf(text, amount, -0.3), afterMs }
  if (subject === 'label' && (kind === undefined || kind === 'flip'))
    return { kind: 'flip', amount: numberOf(text, amount, 0.3), afterMs }
  if (subject.startsWith('context.') && (kind === undefined || kind === 'new'))
    return {
      kind: 'new',
      key: subject.slice('context.'.length),
      value: amount ?? 'unheard-of',
      afterMs,
    }
  throw invalid(text)
}

function numberOf(text: string, amount: string | undefined, otherwise: number): number {
  const value = amount === undefined ? otherwise : Number(amount)
  if (Number.isNaN(value)) throw invalid(text)
  return value
}

function invalid(text: string): FreshetError {
  return new FreshetError(
    'OPTION_INVALID',
    `--drift got "${text}"; it takes watched_ratio[:scale=N|:shift=N]@TIME, context.KEY[:new=VALUE]@TIME or label[:flip=PART]@TIME, TIME such as 300s`,
  )
}
