/**
 * Drift put into the simulated stream at a named time, as `freshet simulate --drift` takes it: SUBJECT[:KIND[=AMOUNT]]@TIME,
 * or @TIME/OVER to come in evenly over that long.
 *   watched_ratio@300s              watched part of a play x 0.5 from 300 s after the start
 *   watched_ratio:shift=-0.2@5m     the same minus 0.2
 *   watched_ratio:scale=0.7@5m
 *   watched_ratio:shift=-0.2@0s/1d  the same, a little more of it every minute of a day
 *   watched_ratio:season=0.1@0s     plus 0.1 sin(2 pi t / 7 d): a weekly season
 *   context.device:new=tv@5m        a third of the sessions from then on have a value never seen before
 *   label:flip=0.3@5m               30% of the plays end the other way than the viewer's taste says
 *   prediction:scale=2@5m           the model's log-odds x 2: too sure of itself, its ranking as good as before
 *   prediction:shift=1@5m           the same plus 1: too hopeful
 */
import { FreshetError } from '../../streams/errors.ts'
import { duration } from '../../streams/option-types.ts'

interface Timed {
  /** Of full strength from `afterMs + overMs` after the start on. */
  readonly afterMs: number
  readonly overMs: number
}

export type Drift = Timed &
  (
    | {
        readonly kind: 'scale' | 'shift' | 'season'
        readonly subject: 'watched_ratio' | 'prediction'
        readonly amount: number
      }
    | { readonly kind: 'new'; readonly key: string; readonly value: string }
    | { readonly kind: 'flip'; readonly amount: number }
  )

const form =
  /^(watched_ratio|prediction|label|context\.[\w-]+)(?::(shift|scale|season|new|flip)(?:=([^@]+))?)?@([^/]+)(?:\/(.+))?$/
const weekMs = 7 * 86_400_000

/** Errors: OPTION_INVALID. */
export function parseDrift(text: string): Drift {
  const match = form.exec(text)
  const after = duration().safeParse(match?.[4])
  const over = duration().safeParse(match?.[5] ?? 0)
  if (!match || !after.success || !over.success) throw invalid(text)
  const [, subject, kind, amount] = match
  const timed = { afterMs: after.data, overMs: over.data }
  if (subject === 'watched_ratio' || subject === 'prediction') {
    if (kind === undefined || kind === 'scale')
      return { kind: 'scale', subject, amount: numberOf(text, amount, 0.5), ...timed }
    if (kind === 'shift') return { kind, subject, amount: numberOf(text, amount, -0.3), ...timed }
    if (kind === 'season') return { kind, subject, amount: numberOf(text, amount, 0.1), ...timed }
  }
  if (subject === 'label' && (kind === undefined || kind === 'flip'))
    return { kind: 'flip', amount: numberOf(text, amount, 0.3), ...timed }
  if (subject.startsWith('context.') && (kind === undefined || kind === 'new'))
    return {
      kind: 'new',
      key: subject.slice('context.'.length),
      value: amount ?? 'unheard-of',
      ...timed,
    }
  throw invalid(text)
}

/** How much of a drift is there `sinceStartMs` after the start: 0 before it, 1 once it is whole. */
export function strength({ afterMs, overMs }: Timed, sinceStartMs: number): number {
  const since = sinceStartMs - afterMs
  if (since < 0) return 0
  return overMs === 0 ? 1 : Math.min(1, since / overMs)
}

/** The value of a subject with all its drifts. */
export function drifted(
  drifts: readonly Drift[],
  subject: 'watched_ratio' | 'prediction',
  value: number,
  sinceStartMs: number,
): number {
  let changed = value
  for (const drift of drifts) {
    if (drift.kind === 'new' || drift.kind === 'flip' || drift.subject !== subject) continue
    const part = strength(drift, sinceStartMs)
    if (part === 0) continue
    if (drift.kind === 'scale') changed *= 1 + (drift.amount - 1) * part
    else if (drift.kind === 'shift') changed += drift.amount * part
    else
      changed +=
        drift.amount * part * Math.sin((2 * Math.PI * (sinceStartMs - drift.afterMs)) / weekMs)
  }
  return changed
}

function numberOf(text: string, amount: string | undefined, otherwise: number): number {
  const value = amount === undefined ? otherwise : Number(amount)
  if (Number.isNaN(value)) throw invalid(text)
  return value
}

function invalid(text: string): FreshetError {
  return new FreshetError(
    'OPTION_INVALID',
    `--drift got "${text}"; it takes watched_ratio[:scale=N|:shift=N|:season=N]@TIME, prediction[:scale=N|:shift=N]@TIME, context.KEY[:new=VALUE]@TIME or label[:flip=PART]@TIME, TIME such as 300s, or 300s/1d to come in over a day`,
  )
}
