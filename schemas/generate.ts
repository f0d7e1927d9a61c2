/**
 * Makes types.ts and definitions.ts from avro/*.avsc: `npx tsx schemas/generate.ts`. A test fails where they are stale.
 * The .avsc files are what is edited and what producers may copy; the program itself reads no file at run time.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

type Avro = string | readonly Avro[] | AvroObject

interface AvroObject {
  readonly type: Avro
  readonly name?: string
  readonly doc?: string
  readonly logicalType?: string
  readonly symbols?: readonly string[]
  readonly items?: Avro
  readonly values?: Avro
  readonly fields?: readonly AvroField[]
}

interface AvroField {
  readonly name: string
  readonly type: Avro
  readonly doc?: string
  readonly default?: unknown
}

const folder = new URL('./avro/', import.meta.url)
const banner = `// biome-ignore-all format: the generator lays it out
/** Made by generate.ts from avro/*.avsc: edit those, then run \`npx tsx schemas/generate.ts\`. */`
const primitives: Readonly<Record<string, string>> = {
  string: 'string',
  bytes: 'Buffer',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  float: 'number',
  double: 'number',
  null: 'null',
}

/** The text of both generated files, by name. */
export function generate(): Readonly<Record<'types.ts' | 'definitions.ts', string>> {
  const schemas = schemasIn(folder)
  return { 'types.ts': types(schemas), 'definitions.ts': definitions(schemas) }
}

function schemasIn(from: URL): AvroObject[] {
  return readdirSync(from)
    .filter(file => file.endsWith('.avsc'))
    .sort()
    .map(file => JSON.parse(readFileSync(new URL(file, from), 'utf8')) as AvroObject)
}

function types(schemas: readonly AvroObject[]): string {
  const named = new Map<string, string>()
  for (const schema of schemas) typeOf(schema, named)
  const names = schemas.map(schema => schema.name)
  return [
    `${banner}\n`,
    '/** A record as its maker may write it: what has a default may be left out. */',
    'export type Draft<T, Required extends keyof T> = Pick<T, Required> & Partial<Omit<T, Required>>\n',
    [...named.values()].join('\n'),
    'export interface RecordTypes {',
    ...names.map(name => `  readonly ${name}: ${name}`),
    '}\n',
    'export interface RecordDrafts {',
    ...names.map(name => `  readonly ${name}: ${name}Draft`),
    '}\n',
    'export type RecordName = keyof RecordTypes\n',
  ].join('\n')
}

/** The TypeScript type of an Avro type; adds the declarations of named types to `named`. */
function typeOf(avro: Avro, named: Map<string, string>): string {
  if (typeof avro === 'string') return primitives[avro] ?? avro
  if (isUnion(avro)) return [...avro.map(branch => typeOf(branch, named))].reverse().join(' | ')
  if (avro.type === 'array') return `readonly ${element(avro.items ?? 'null', named)}[]`
  if (avro.type === 'map')
    return `Readonly<Record<string, ${typeOf(avro.values ?? 'null', named)}>>`
  if (avro.type === 'enum')
    return declare(avro, named, literals(avro.name ?? '', avro.symbols ?? []))
  if (avro.type === 'record') return declare(avro, named, record(avro, named))
  return typeOf(avro.type, named)
}

function element(avro: Avro, named: Map<string, string>): string {
  const type = typeOf(avro, named)
  return type.includes(' ') ? `(${type})` : type
}

function declare(avro: AvroObject, named: Map<string, string>, body: string): string {
  const name = avro.name ?? ''
  const text = `${avro.doc ? `/** ${avro.doc}. */\n` : ''}${body}`
  const earlier = named.get(name)
  if (earlier !== undefined && earlier !== text)
    throw new Error(`${name} is declared twice and not alike; make the two the same in avro/*.avsc`)
  named.set(name, text)
  return name
}

function record(avro: AvroObject, named: Map<string, string>): string {
  const name = avro.name ?? ''
  const fields = avro.fields ?? []
  const lines = fields.flatMap(field => {
    const unit = isTimestamp(field.type) ? 'ms since 1970' : ''
    const doc = [field.doc, unit].filter(Boolean).join('; ')
    const line = `  readonly ${field.name}: ${typeOf(field.type, named)}`
    return doc ? [`  /** ${doc}. */`, line] : [line]
  })
  const required = fields.filter(field => field.default === undefined).map(field => field.name)
  const draft = literals(`${name}Draft`, required, keys => `Draft<${name}, ${keys}>`)
  return `export interface ${name} {\n${lines.join('\n')}\n}\n\n${draft}`
}

function isTimestamp(avro: Avro): boolean {
  if (typeof avro === 'string') return false
  return isUnion(avro) ? avro.some(isTimestamp) : avro.logicalType === 'timestamp-millis'
}

/** A type of string literals. */
function literals(
  name: string,
  values: readonly string[],
  wrap = (union: string) => union,
): string {
  return `export type ${name} = ${wrap(values.map(value => `'${value}'`).join(' | '))}\n`
}

function definitions(schemas: readonly AvroObject[]): string {
  const current = new Map(schemas.map(schema => [schema.name, text(schema)]))
  const releases = readdirSync(new URL('released/', folder)).sort((a, b) => Number(a) - Number(b))
  const released = releases.map(release => {
    const entries = schemasIn(new URL(`released/${release}/`, folder)).map(
      schema =>
        `    ${schema.name}: ${text(schema) === current.get(schema.name) ? `definitions.${schema.name}` : text(schema)},`,
    )
    return ['  {', ...entries, '  },'].join('\n')
  })
  return [
    `${banner}`,
    "import type { RecordName } from './types.ts'\n",
    '/** The Avro schema of each record, as it is registered. */',
    'export const definitions: Readonly<Record<RecordName, string>> = {',
    ...[...current].map(([name, schema]) => `  ${name}: ${schema},`),
    '}\n',
    '/** The schemas of each release, oldest first. */',
    'export const released: readonly Readonly<Partial<Record<RecordName, string>>>[] = [',
    ...released,
    ']\n',
  ].join('\n')
}

/** A schema as a text literal. */
function text(schema: AvroObject): string {
  return `'${JSON.stringify(schema).replaceAll("'", "\\'")}'`
}

function isUnion(avro: Avro): avro is readonly Avro[] {
  return Array.isArray(avro)
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const [file, text] of Object.entries(generate()))
    writeFileSync(new URL(file, import.meta.url), text)
