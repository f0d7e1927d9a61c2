/** Our own schemas, parsed: what every value is read as. */

import { FreshetError } from '../streams/errors.ts'
import { parseSchema, type RecordType } from './avro-schema.ts'
import { definitions } from './definitions.ts'
import type { RecordName } from './types.ts'

const recordNames = Object.keys(definitions) as readonly RecordName[]

export const readerSchemas = Object.fromEntries(
  recordNames.map(name => [name, parseRecord(name)]),
) as Readonly<Record<RecordName, RecordType>>

function parseRecord(name: RecordName): RecordType {
  const type = parseSchema(definitions[name])
  if (type.kind === 'record') return type
  throw new FreshetError('BUG', `schemas/avro/${name}.avsc is no record`)
}
