/** What travels: the records of freshet's topics, and how bytes become records and records bytes. */
export { assign } from './arms.ts'
export { Decoder, type SchemaSource } from './decode.ts'
export { definitions } from './definitions.ts'
export { Encoder } from './encode.ts'
export { isoTime } from './json.ts'
export { schemaOptions } from './options.ts'
export { SchemaRegistry, type SubjectCondition, subjectOf } from './registry.ts'
export type * from './types.ts'
