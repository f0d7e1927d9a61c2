import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { driftOptions } from '../drift/options.ts'
import { defaultRules } from './default-rules.ts'
import { alertOptions, webhookHeaders } from './options.ts'
import { ruleFile, rulesInForce } from './rule-file.ts'

const { values: drift } = resolveOptions(driftOptions, { flags: {}, environment: {}, file: {} })
const builtIn = defaultRules(drift).map(({ rule }) => rule)
const inForce = (...rules: object[]) => rulesInForce(builtIn, ruleFile.parse({ rules }))
const refusal = (...rules: object[]): string => {
  try {
    inForce(...rules)
  } catch (error) {
    return (error as Error).message
  }
  return 'taken'
}
const whole = { name: 'mine', table: 'quality', column: 'value', window: '1h', below: 1 }

describe('the rules file', () => {
  it('built-in rules are whole, and hold where nothing is given', () => {
    expect(inForce().map(({ name }) => name)).toEqual(builtIn.map(({ name }) => name))
    expect(rulesInForce(builtIn, ruleFile.parse('')).length).toBe(builtIn.length)
  })

  it('stand in docs/alerts.md, each with its name', () => {
    const page = readFileSync(new URL('../../docs/alerts.md', import.meta.url), 'utf8')
    for (const { name } of builtIn) expect(page).toContain(`\`${name}\``)
    const [example] = [...page.matchAll(/```json\n(\{"rules".*?)```/gs)].map(match => match[1])
    expect(() => rulesInForce(builtIn, ruleFile.parse(example))).not.toThrow()
  })

  it('adds, changes by name, switches off', () => {
    const rules = inForce(
      { ...whole, raise: 5 },
      { name: 'srm', off: true },
      { name: 'ctr_drop', minN: 50 },
      { name: 'watch_time_drop', below: 3 },
      { name: 'drift_1d', where: { profile: 'evidently', statistic: 'w1' }, atLeast: 0.1 },
    )
    const of = (name: string) => rules.find(rule => rule.name === name)
    expect(of('mine')).toMatchObject({ raise: 5, clear: 3, minN: 0 })
    expect(of('srm')).toBeUndefined()
    expect(of('ctr_drop')).toMatchObject({ minN: 50, condition: { kind: 'drop', share: 0.3 } })
    expect(of('watch_time_drop')?.condition).toEqual({ kind: 'below', limit: 3 })
    expect(of('drift_1d')?.condition).toMatchObject({ limit: 'threshold', atLeast: 0.1 })
  })

  it.each([
    [{ ...whole, table: 'users' }, 'rule mine: table got "users"; it takes drift, calibration'],
    [{ ...whole, colour: 1 }, 'rule mine has "colour", which nothing reads'],
    [{ ...whole, raise: 0 }, 'rule mine: raise got 0; it takes a whole number from 1'],
    [{ ...whole, window: '5m' }, 'rule mine: window got "5m"; it takes 1m, 1h or 1d'],
    [{ ...whole, column: 'ece' }, 'rule mine: column got "ece"; of quality it takes value, low'],
    [{ ...whole, where: { bin: '1' } }, 'rule mine: where got bin; for value of quality it takes'],
    [{ ...whole, above: 2 }, 'rule mine: it has above and below; it takes one of'],
    [{ ...whole, below: undefined }, 'rule mine: it has no condition'],
    [{ ...whole, window: undefined }, 'rule mine: window got nothing; it takes'],
    [{ ...whole, against: 3 }, 'rule mine: against goes with drop alone'],
    [{ ...whole, below: undefined, drop: 0.1 }, 'rule mine: against got nothing'],
    [{ ...whole, below: undefined, drop: 1.5 }, 'rule mine: drop got 1.5; it takes a share'],
    [{ ...whole, below: 'threshold' }, 'rule mine: rows of quality have no threshold'],
    [{ ...whole, atLeast: 1 }, 'rule mine: atLeast goes with above alone'],
    [{ ...whole, below: undefined, is: 'x' }, 'rule mine: is got a text; value is a number'],
    [{ ...whole, below: undefined, outside: [2, 1] }, 'rule mine: outside got [2,1]; it takes two'],
    [
      { name: 'mine', table: 'pipeline', column: 'lag', above: 1, minN: 3 },
      'rule mine: minN got 3',
    ],
    [{ name: 'mine', below: 1 }, 'rule mine: table got nothing'],
    [{ name: 'My rule' }, 'rule My rule: name got "My rule"; it takes a name of a-z'],
    [{}, 'rule 1 of the file: name got nothing'],
  ])('%j is refused with its name, what it got and what it takes', (given, said) => {
    expect(refusal(JSON.parse(JSON.stringify(given)))).toContain(said)
  })

  it('all faults are told at once; a name stands there once', () => {
    expect(refusal({ ...whole, raise: 0 }, { ...whole, name: 'b', clear: 0 })).toMatch(
      /raise.*clear/,
    )
    expect(refusal(whole, whole)).toContain('rule mine stands there twice')
    expect(() => ruleFile.parse('/nowhere/rules.json')).toThrow('option alerts.rules: /nowhere')
  })

  it('the option gives its own text again', () => {
    const text = '{"rules":[{"name":"srm","off":true}]}'
    expect(`${ruleFile.parse(text)}`).toBe(text)
  })
})

describe('the webhook options', () => {
  const of = (flags: Record<string, string>) =>
    resolveOptions(alertOptions, { flags, environment: {}, file: {} }).values

  it('take a URL and headers', () => {
    const values = of({
      'alerts.webhook': 'https://hooks.example/x',
      'alerts.webhookHeaders': 'Authorization: Bearer a:b; X-Team: one',
    })
    expect(webhookHeaders(values['alerts.webhookHeaders'])).toEqual({
      Authorization: 'Bearer a:b',
      'X-Team': 'one',
    })
    expect(() => of({ 'alerts.webhook': 'hooks.example' })).toThrow('option alerts.webhook')
    expect(() => of({ 'alerts.webhookHeaders': 'nothing' })).toThrow('option alerts.webhookHeaders')
  })
})
