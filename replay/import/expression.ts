/**
 * The conditions of `--positive`: `rating >= 8 and (type = 'watch' or not skipped = 1)`. Names are columns, numbers and
 * quoted text are themselves, `and or not ( )` combine, `= == != < <= > >=` compare: as numbers where one side is written
 * as a number, else as text. A missing value makes any comparison but != false. Nothing is ever evaluated as code.
 */
import { FreshetError } from '../../streams/errors.ts'

export type Values = Readonly<Record<string, unknown>>
export type Condition = (row: Values) => boolean

interface Operand {
  readonly of: (row: Values) => unknown
  readonly numeric: boolean
}

const token =
  /\s*(?:(\d+(?:\.\d+)?|-\d+(?:\.\d+)?)|'([^']*)'|"([^"]*)"|([A-Za-z_][\w.]*)|(==|!=|<=|>=|[=<>()]))/y

/** Errors: OPTION_INVALID with the place and what was expected there. `names`: the columns there are, where known. */
export function parseCondition(text: string, names?: readonly string[]): Condition {
  const tokens: { kind: 'number' | 'text' | 'name' | 'sign'; value: string; at: number }[] = []
  token.lastIndex = 0
  while (text.slice(token.lastIndex).trim() !== '') {
    const at = token.lastIndex
    const match = token.exec(text)
    if (!match) throw wrong(text, at, 'a name, a number, quoted text or a comparison')
    const [, number, single, double, name, sign] = match
    if (number !== undefined) tokens.push({ kind: 'number', value: number, at })
    else if (name !== undefined) tokens.push({ kind: 'name', value: name, at })
    else if (sign !== undefined) tokens.push({ kind: 'sign', value: sign, at })
    else tokens.push({ kind: 'text', value: single ?? double, at })
  }
  let next = 0

  const take = (...values: string[]): string | undefined => {
    const found = tokens[next]
    if (!found || (found.kind !== 'sign' && found.kind !== 'name')) return undefined
    if (!values.includes(found.kind === 'name' ? found.value.toLowerCase() : found.value))
      return undefined
    next++
    return found.value
  }

  function either(): Condition {
    const parts = [both()]
    while (take('or')) parts.push(both())
    return parts.length === 1 ? parts[0] : row => parts.some(part => part(row))
  }

  function both(): Condition {
    const parts = [single()]
    while (take('and')) parts.push(single())
    return parts.length === 1 ? parts[0] : row => parts.every(part => part(row))
  }

  function single(): Condition {
    if (take('not')) {
      const inner = single()
      return row => !inner(row)
    }
    if (take('(')) {
      const inner = either()
      if (!take(')')) throw wrong(text, tokens[next]?.at ?? text.length, 'a closing bracket')
      return inner
    }
    return comparison()
  }

  function comparison(): Condition {
    const left = operand()
    const sign = take('=', '==', '!=', '<', '<=', '>', '>=')
    if (!sign)
      throw wrong(text, tokens[next]?.at ?? text.length, 'a comparison such as >= after a name')
    const right = operand()
    const numeric = left.numeric || right.numeric
    return row => compare(left.of(row), sign, right.of(row), numeric)
  }

  function operand(): Operand {
    const found = tokens[next++]
    if (!found || found.kind === 'sign')
      throw wrong(text, found?.at ?? text.length, 'a name, a number or quoted text')
    const { kind, value } = found
    if (kind === 'number') return { of: () => Number(value), numeric: true }
    if (kind === 'text') return { of: () => value, numeric: false }
    if (names && !names.includes(value))
      throw wrong(text, found.at, `one of the names ${[...new Set(names)].join(', ')}`)
    return { of: row => row[value], numeric: false }
  }

  const condition = either()
  if (next < tokens.length) throw wrong(text, tokens[next].at, 'and, or, or the end')
  return condition
}

function compare(a: unknown, sign: string, b: unknown, numeric: boolean): boolean {
  const missing = a === undefined || a === null || a === '' || b === undefined || b === null
  if (missing) return sign === '!=' && a !== b
  const [x, y] = numeric ? [Number(a), Number(b)] : [String(a), String(b)]
  switch (sign) {
    case '<':
      return x < y
    case '<=':
      return x <= y
    case '>':
      return x > y
    case '>=':
      return x >= y
    case '!=':
      return x !== y
    default:
      return x === y
  }
}

function wrong(text: string, at: number, takes: string): FreshetError {
  return new FreshetError(
    'OPTION_INVALID',
    `the condition "${text}" can't be read at character ${at + 1}; expected there: ${takes}`,
  )
}
