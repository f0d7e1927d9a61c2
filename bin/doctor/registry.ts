/** The schema registry: there, and freshet's subjects with it. Nothing is registered. */
import type { SchemaRegistry, SubjectCondition } from '../../schemas/index.ts'
import { type Finding, ok, orOk, warning, wrong } from './finding.ts'

const check = 'schema registry'

export const isInProcess = (url: string): boolean => url.startsWith('mock://')

export async function checkRegistry(
  registry: SchemaRegistry,
  url: string,
  prefix: string,
): Promise<readonly Finding[]> {
  if (isInProcess(url))
    return [
      ok(check, 'none is named: events in plain JSON can be read, Avro of other producers not'),
    ]
  const conditions = await registry.conditions(prefix)
  const those = (state: SubjectCondition['state']): string[] =>
    conditions.filter(one => one.state === state).map(one => one.subject)
  const found: Finding[] = []
  const incompatible = those('incompatible')
  if (incompatible.length > 0)
    found.push(
      wrong(
        check,
        `${incompatible.join(', ')}: freshet's schema cannot follow what is registered there`,
        "see which producer registered it: its schema lacks a field without a default, or has one of another type (schemas/avro has ours); delete that version, or set topics.prefix to subjects of freshet's own",
      ),
    )
  const missing = those('missing')
  if (missing.length > 0)
    found.push(
      warning(
        check,
        `${missing.length} of ${conditions.length} subjects are not registered (${missing[0]}${missing.length > 1 ? ', ...' : ''})`,
        '`freshet topics create` registers them, as does the first `freshet run`',
      ),
    )
  const older = those('older')
  if (older.length > 0)
    found.push(
      warning(
        check,
        `${older.join(', ')}: another release's schema, which ours may follow`,
        '`freshet topics create` registers ours, as does `freshet run`',
      ),
    )
  return orOk(
    found,
    check,
    `${registry.where} answers; ${conditions.length} subjects registered and compatible`,
  )
}
