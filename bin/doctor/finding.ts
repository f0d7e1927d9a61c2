/** What a check of `freshet doctor` found: one line each. */
export type Verdict = 'ok' | 'warning' | 'wrong'

export interface Finding {
  /** What was looked at. */
  readonly check: string
  readonly verdict: Verdict
  /** What was found. */
  readonly says: string
  /** How to put it right; there unless all is well. */
  readonly remedy?: string
}

export const ok = (check: string, says: string): Finding => ({ check, verdict: 'ok', says })

export const warning = (check: string, says: string, remedy: string): Finding => ({
  check,
  verdict: 'warning',
  says,
  remedy,
})

export const wrong = (check: string, says: string, remedy: string): Finding => ({
  check,
  verdict: 'wrong',
  says,
  remedy,
})

/** What was found of one kind, or that it is all well. */
export const orOk = (found: readonly Finding[], check: string, says: string): readonly Finding[] =>
  found.length > 0 ? found : [ok(check, says)]
