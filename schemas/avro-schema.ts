/** An Avro schema as a tree: names resolved, so that a reference is the named type itself (a recursive type is a cycle). */
import { FreshetError } from '../streams/errors.ts'

const primitiveKinds = [
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
] as const
type PrimitiveKind = (typeof primitiveKinds)[number]

interface PrimitiveType {
  readonly kind: PrimitiveKind
  /** '' where there is none. */
  readonly logical: string
}
interface ArrayType {
  readonly kind: 'array'
  readonly items: AvroType
}
interface MapType {
  readonly kind: 'map'
  readonly values: AvroType
}
export interface UnionType {
  readonly kind: 'union'
  readonly branches: readonly AvroType[]
}
interface FixedType {
  readonly kind: 'fixed'
  readonly name: string
  readonly size: number
}
export interface EnumType {
  readonly kind: 'enum'
  readonly name: string
  readonly symbols: readonly string[]
  readonly default: string | undefined
}
interface RecordField {
  readonly name: string
  /** What it was called before. */
  readonly aliases: readonly string[]
  readonly type: AvroType
  /** As JSON; undefined where the field is required. */
  readonly default: unknown
}
export interface RecordType {
  readonly kind: 'record'
  /** With namespace. */
  readonly name: string
  /** What it was called before, with or without namespace. */
  readonly aliases: readonly string[]
  readonly fields: readonly RecordField[]
}
export type AvroType =
  | PrimitiveType
  | ArrayType
  | MapType
  | UnionType
  | FixedType
  | EnumType
  | RecordType

/** The name without its namespace. */
export function unqualified(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

/** What a person would call the type. */
export function describe(type: AvroType): string {
  if (type.kind === 'union') return `[${type.branches.map(describe).join(', ')}]`
  if (type.kind === 'record' || type.kind === 'enum' || type.kind === 'fixed') return type.name
  return 'logical' in type && type.logical ? `${type.kind} (${type.logical})` : type.kind
}

/**
 * Parses a schema's JSON text; `references` are the texts of the schemas it refers to, each after those it needs itself.
 * Errors: DEPENDENCY_UNSUITABLE with the place in the schema.
 */
export function parseSchema(text: string, references: readonly string[] = []): AvroType {
  const named = new Map<string, AvroType>()
  for (const reference of references) parseType(json(reference), '', named)
  return parseType(json(text), '', named)
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw unsuitable('is not JSON', error)
  }
}

function parseType(given: unknown, namespace: string, named: Map<string, AvroType>): AvroType {
  if (typeof given === 'string') return reference(given, namespace, named)
  if (Array.isArray(given))
    return { kind: 'union', branches: given.map(branch => parseType(branch, namespace, named)) }
  if (!isObject(given)) throw unsuitable(`has ${JSON.stringify(given)} where a type belongs`)
  const type = given.type
  if (typeof type !== 'string') return parseType(type, namespace, named)
  switch (type) {
    case 'array':
      return { kind: 'array', items: parseType(given.items, namespace, named) }
    case 'map':
      return { kind: 'map', values: parseType(given.values, namespace, named) }
    case 'enum':
      return declare(given, namespace, named, name => ({
        kind: 'enum',
        name,
        symbols: texts(given.symbols, name),
        default: typeof given.default === 'string' ? given.default : undefined,
      }))
    case 'fixed':
      return declare(given, namespace, named, name => ({
        kind: 'fixed',
        name,
        size: wholeNumber(given.size, name),
      }))
    case 'record':
    case 'error':
      return parseRecord(given, namespace, named)
    default:
      return isPrimitive(type)
        ? { kind: type, logical: typeof given.logicalType === 'string' ? given.logicalType : '' }
        : reference(type, namespace, named)
  }
}

function parseRecord(
  given: Record<string, unknown>,
  namespace: string,
  named: Map<string, AvroType>,
): AvroType {
  const fields: RecordField[] = []
  const aliases = aliasesOf(given)
  const record = declare(given, namespace, named, name => ({
    kind: 'record',
    name,
    aliases,
    fields,
  }))
  const name = record.kind === 'record' ? record.name : ''
  const inner = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : ''
  if (!Array.isArray(given.fields)) throw unsuitable(`has a record ${name} without fields`)
  for (const field of given.fields) {
    if (!isObject(field) || typeof field.name !== 'string')
      throw unsuitable(`has a field without a name in ${name}`)
    if (fields.some(earlier => earlier.name === field.name))
      throw unsuitable(`has the field ${field.name} twice in ${name}`)
    const type = parseType(field.type, inner, named)
    fields.push({ name: field.name, aliases: aliasesOf(field), type, default: field.default })
  }
  return record
}

function declare(
  given: Record<string, unknown>,
  namespace: string,
  named: Map<string, AvroType>,
  make: (name: string) => AvroType,
): AvroType {
  if (typeof given.name !== 'string') throw unsuitable(`has a nameless ${String(given.type)}`)
  const space = typeof given.namespace === 'string' ? given.namespace : namespace
  const name = qualify(given.name, space)
  if (named.has(name)) throw unsuitable(`declares ${name} twice`)
  const type = make(name)
  named.set(name, type)
  return type
}

function reference(name: string, namespace: string, named: Map<string, AvroType>): AvroType {
  if (isPrimitive(name)) return { kind: name, logical: '' }
  const type = named.get(qualify(name, namespace)) ?? named.get(name)
  if (type === undefined) throw unsuitable(`refers to ${name}, which it does not declare`)
  return type
}

function qualify(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`
}

function texts(given: unknown, name: string): readonly string[] {
  if (Array.isArray(given) && given.every(each => typeof each === 'string')) return given
  throw unsuitable(`has an enum ${name} without symbols`)
}

function aliasesOf({ aliases }: Record<string, unknown>): readonly string[] {
  return Array.isArray(aliases) ? aliases.filter(each => typeof each === 'string') : []
}

function wholeNumber(given: unknown, name: string): number {
  if (Number.isSafeInteger(given) && Number(given) >= 0) return Number(given)
  throw unsuitable(`has a fixed ${name} without a size`)
}

function isPrimitive(name: string): name is PrimitiveKind {
  return (primitiveKinds as readonly string[]).includes(name)
}

function isObject(given: unknown): given is Record<string, unknown> {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
}

function unsuitable(what: string, cause?: unknown): FreshetError {
  return new FreshetError('DEPENDENCY_UNSUITABLE', `the schema ${what}`, cause)
}
