/**
 * A log of impressions from a file, without ClickHouse: `user,request,item,position,propensity,reward[,p_target]`, or the names of
 * the Open Bandit Dataset (`item_id, position, click, propensity_score`). Only item, propensity and reward must be there.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { LoggedImpression } from './impressions.ts'
import { columnOf, numberOf, readRecords } from './records.ts'

/** What a field's column may be called; the first is the field. */
const names = {
  user: ['user', 'user_id', 'userId'],
  request: ['request', 'request_id', 'requestId', 'slate_id', 'list_version'],
  surface: ['surface'],
  item: ['item', 'item_id', 'itemId', 'action'],
  position: ['position'],
  propensity: ['propensity', 'propensity_score', 'pscore', 'p'],
  reward: ['reward', 'click'],
  p_target: ['p_target', 'evaluation_policy_pscore', 'pi_e'],
  q: ['q'],
  q_target: ['q_target'],
  weight: ['weight'],
} as const
type Field = keyof typeof names

/** Errors: CALL_INVALID for a file that can't be read or lacks what is needed. */
export function readLogFile(
  file: string,
  map: Readonly<Record<string, string>> = {},
): LoggedImpression[] {
  for (const field of Object.keys(map))
    if (!(field in names))
      throw new FreshetError(
        'CALL_INVALID',
        `--map got the field ${field}; it takes ${Object.keys(names).join(', ')}`,
      )
  const { columns, rows } = readRecords(file)
  const column = Object.fromEntries(
    (Object.keys(names) as Field[]).map(field => [field, columnOf(columns, names[field], map)]),
  ) as Record<Field, string | undefined>
  for (const field of ['item', 'propensity', 'reward'] as const)
    if (column[field] === undefined)
      throw new FreshetError(
        'CALL_INVALID',
        `${file} has no column for ${field} (${names[field].join(', ')}); it has ${[...columns].join(', ')}. --map ${field}=COLUMN names another`,
      )
  const hasUser = column.user !== undefined
  return rows.map((row, i) => {
    const of = (field: Field): unknown => {
      const name = column[field]
      return name === undefined ? undefined : row[name]
    }
    const text = (field: Field): string => String(of(field) ?? '')
    const number = (field: Field): number | null => numberOf(of(field))
    const request = text('request')
    return {
      // without users, each draw is taken for somebody else's
      user: hasUser ? text('user') : request === '' ? `#${i}` : `request ${request}`,
      request,
      surface: text('surface'),
      item: text('item'),
      position: number('position') ?? 0,
      propensity: number('propensity'),
      reward: number('reward'),
      pTarget: number('p_target'),
      q: number('q'),
      qTarget: number('q_target'),
      otherWeight: number('weight'),
    }
  })
}
