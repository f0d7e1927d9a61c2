/** The rules in force, out of the options. Errors: OPTION_INVALID names the rule that is not whole. */
import { type DriftAlertOptions, defaultRules } from './default-rules.ts'
import { type Rule, type RuleFile, rulesInForce } from './rule-file.ts'

export type AlertOptions = DriftAlertOptions & { readonly 'alerts.rules': RuleFile }

export function alertRules(options: AlertOptions): readonly Rule[] {
  const builtIn = defaultRules(options).map(({ rule }) => rule)
  return rulesInForce(builtIn, options['alerts.rules'])
}
