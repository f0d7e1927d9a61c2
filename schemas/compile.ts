/**
 * Avro's schema resolution, done once per schema id: makes the function that reads a record as a writer wrote it into
 * one of ours. Rules of the Avro 1.12 specification ("Schema Resolution"), with three of our own: named types match by
 * their unqualified name, a timestamp in micros or nanos is scaled to millis, and a number whose unit cannot be millis
 * (`date`) is refused where we read a long.
 *
 * Hot code: the readers of records are generated as text, because an object literal with known fields is built four times
 * as fast as one filled by name. Only names from our own schemas and indices stand in that text, never a writer's.
 */
import { FreshetError } from '../streams/errors.ts'
import {
  type AvroType,
  describe,
  type EnumType,
  type RecordType,
  type UnionType,
  unqualified,
} from './avro-schema.ts'
import type { Cursor } from './cursor.ts'

export type Read<T = unknown> = (cursor: Cursor) => T

/** Fields whose texts hardly ever repeat within thousands of records: not worth looking up. */
const fresh = new Set(['eventId', 'playId', 'title'])
const deepestSkip = 64

/**
 * The reader of `reader` records that were written with `writer`.
 * Errors: DEPENDENCY_UNSUITABLE, naming the field and both types, where no value of the writer's could be read.
 */
export function compile(writer: AvroType, reader: RecordType): Read {
  if (writer.kind !== 'record' || !isCalled(writer, unqualified(reader.name)))
    throw mismatch(reader.name, writer, reader)
  return new Compiler().record(writer, reader)
}

/** By its unqualified name, now or before. */
export const isCalled = ({ name, aliases }: RecordType, wanted: string): boolean =>
  unqualified(name) === wanted || aliases.some(alias => unqualified(alias) === wanted)

/** The place of the reader's field that a writer's is; -1: we have none. A field's own name goes before what another was called. */
function placeOf(
  field: RecordType['fields'][number],
  writer: RecordType,
  reader: RecordType,
): number {
  const own = reader.fields.findIndex(ours => ours.name === field.name)
  if (own >= 0) return own
  const isFree = (name: string): boolean =>
    writer.fields.every(each => each.name !== name) &&
    writer.fields.find(each => each.aliases.includes(name)) === field
  return reader.fields.findIndex(({ name }) => field.aliases.includes(name) && isFree(name))
}

class Compiler {
  private readonly pool: unknown[] = []
  private readonly skippers = new Map<AvroType, (cursor: Cursor) => void>()

  private constant(value: unknown): string {
    this.pool.push(value)
    return `k[${this.pool.length - 1}]`
  }

  record(writer: RecordType, reader: RecordType): Read {
    const lines: string[] = []
    const given = new Set<string>()
    for (const field of writer.fields) {
      const index = placeOf(field, writer, reader)
      if (index < 0) {
        lines.push(`${this.constant(this.skipper(field.type))}(c)`)
        continue
      }
      const ours = reader.fields[index]
      given.add(ours.name)
      const path = `${unqualified(reader.name)}.${ours.name}`
      lines.push(`const f${index} = ${this.expression(field.type, ours.type, path)}`)
    }
    const parts = reader.fields.map((field, index) => {
      if (given.has(field.name)) return `${field.name}: f${index}`
      if (field.default === undefined)
        throw new FreshetError(
          'DEPENDENCY_UNSUITABLE',
          `the schema ${writer.name} has no field ${field.name}, which is required`,
        )
      return `${field.name}: ${this.constant(defaultOf(field.type, field.default))}`
    })
    const body = `let b = 0\n${lines.join('\n')}\nreturn { ${parts.join(', ')} }`
    return new Function('k', `return c => {\n${body}\n}`)(this.pool) as Read
  }

  /** The text of an expression that reads a value of type `writer` as `reader`. */
  private expression(writer: AvroType, reader: AvroType, path: string): string {
    if (writer.kind === 'union') return this.union(writer, reader, path)
    if (reader.kind === 'union') {
      const exact = reader.branches.find(branch => branch.kind === writer.kind)
      for (const branch of exact ? [exact, ...reader.branches] : reader.branches) {
        const text = this.attempt(writer, branch, path)
        if (text !== null) return text
      }
      throw mismatch(path, writer, reader)
    }
    switch (reader.kind) {
      case 'null':
        if (writer.kind === 'null') return 'null'
        break
      case 'boolean':
        if (writer.kind === 'boolean') return 'c.boolean()'
        break
      case 'int':
        if (writer.kind === 'int' && writer.logical !== 'date') return 'c.int()'
        break
      case 'long':
        if (writer.kind === 'long' || writer.kind === 'int') {
          const text = readLong(writer.kind, writer.logical)
          if (text !== null) return text
        }
        break
      case 'float':
      case 'double':
        if (writer.kind === 'float') return 'c.float()'
        if (writer.kind === 'double' && reader.kind === 'double') return 'c.double()'
        if (writer.kind === 'int' || writer.kind === 'long') return 'c.long()'
        break
      case 'string':
        if (writer.kind === 'string' || (writer.kind === 'bytes' && writer.logical !== 'decimal'))
          return fresh.has(unqualified(path)) ? 'c.text()' : 'c.label()'
        break
      case 'bytes':
        if (writer.kind === 'bytes' || writer.kind === 'string') return 'c.blob()'
        break
      case 'enum':
        if (writer.kind === 'enum' && sameName(writer, reader))
          return `${this.constant(symbols(writer, reader))}[c.index(${writer.symbols.length})]`
        break
      case 'array':
        if (writer.kind === 'array')
          return `${this.constant(arrayOf(this.read(writer.items, reader.items, path)))}(c)`
        break
      case 'map':
        if (writer.kind === 'map')
          return `${this.constant(mapOf(this.read(writer.values, reader.values, path)))}(c)`
        break
      case 'record':
        if (writer.kind === 'record' && sameName(writer, reader))
          return `${this.constant(new Compiler().record(writer, reader))}(c)`
        break
      case 'fixed':
        break
    }
    throw mismatch(path, writer, reader)
  }

  /** As `expression`, as a function of its own: for the items of arrays and maps. */
  private read(writer: AvroType, reader: AvroType, path: string): Read {
    const inner = new Compiler()
    const text = inner.expression(writer, reader, path)
    return new Function('k', `return c => {\nlet b = 0\nreturn ${text}\n}`)(inner.pool) as Read
  }

  private attempt(writer: AvroType, reader: AvroType, path: string): string | null {
    try {
      return this.expression(writer, reader, path)
    } catch (error) {
      if (error instanceof FreshetError) return null
      throw error
    }
  }

  /** A writer's branch that we cannot read is a fault of the records that use it, not of all. */
  private union(writer: UnionType, reader: AvroType, path: string): string {
    const readable = writer.branches.map(branch => this.attempt(branch, reader, path))
    if (readable.every(text => text === null)) throw mismatch(path, writer, reader)
    const texts = writer.branches.map(
      (branch, i) => readable[i] ?? this.refusal(path, branch, reader),
    )
    const last = texts.length - 1
    const choice = texts.map((text, i) => (i === last ? text : `b === ${i} ? ${text} : `)).join('')
    return `(b = c.index(${texts.length}), ${choice})`
  }

  private refusal(path: string, writer: AvroType, reader: AvroType): string {
    const { message } = mismatch(path, writer, reader)
    return `${this.constant((cursor: Cursor) => cursor.fail('SCHEMA_INCOMPATIBLE', message))}(c)`
  }

  private skipper(type: AvroType): (cursor: Cursor) => void {
    const known = this.skippers.get(type)
    if (known) return known
    let skip: (cursor: Cursor) => void = () => undefined
    this.skippers.set(type, cursor => skip(cursor))
    skip = this.makeSkipper(type)
    this.skippers.set(type, skip)
    return skip
  }

  private makeSkipper(type: AvroType): (cursor: Cursor) => void {
    switch (type.kind) {
      case 'null':
        return () => undefined
      case 'boolean':
        return cursor => cursor.skip(1)
      case 'int':
      case 'long':
      case 'enum':
        return cursor => cursor.skipVarint()
      case 'float':
        return cursor => cursor.skip(4)
      case 'double':
        return cursor => cursor.skip(8)
      case 'string':
      case 'bytes':
        return cursor => cursor.skipSized()
      case 'fixed':
        return cursor => cursor.skip(type.size)
      case 'array':
        return skipBlocks(this.skipper(type.items), takesNothing(type.items, new Set()))
      case 'map': {
        const value = this.skipper(type.values)
        return skipBlocks(cursor => {
          cursor.skipSized()
          value(cursor)
        }, false)
      }
      case 'union': {
        const branches = type.branches.map(branch => this.skipper(branch))
        return cursor => branches[cursor.index(branches.length)](cursor)
      }
      case 'record': {
        const fields = type.fields.map(field => this.skipper(field.type))
        return cursor => {
          if (++cursor.depth > deepestSkip)
            cursor.fail('DECODE_FAILED', `records nest deeper than ${deepestSkip}`)
          else for (const skip of fields) skip(cursor)
          cursor.depth--
        }
      }
    }
  }
}

/** Entries that take no byte (nulls) could be announced in billions: they are not counted out. */
function skipBlocks(skip: (cursor: Cursor) => void, entriesTakeNothing: boolean): Read<void> {
  return cursor => {
    for (;;) {
      const n = cursor.skipBlock(entriesTakeNothing)
      if (n === 0) return
      for (let i = 0; i < n && cursor.code === null; i++) skip(cursor)
    }
  }
}

function takesNothing(type: AvroType, within: Set<AvroType>): boolean {
  if (type.kind === 'null') return true
  if (type.kind === 'fixed') return type.size === 0
  if (type.kind !== 'record' || within.has(type)) return false
  within.add(type)
  return type.fields.every(field => takesNothing(field.type, within))
}

function readLong(kind: 'int' | 'long', logical: string): string | null {
  switch (logical) {
    case 'date':
      return null
    case 'timestamp-micros':
    case 'local-timestamp-micros':
    case 'time-micros':
      return 'c.scaled(1000)'
    case 'timestamp-nanos':
    case 'local-timestamp-nanos':
      return 'c.scaled(1000000)'
    default:
      return kind === 'int' ? 'c.int()' : 'c.long()'
  }
}

function symbols(writer: EnumType, reader: EnumType): readonly string[] {
  return writer.symbols.map(symbol =>
    reader.symbols.includes(symbol) ? symbol : (reader.default ?? reader.symbols[0]),
  )
}

const emptyArray: readonly unknown[] = Object.freeze([])
const emptyMap: Readonly<Record<string, unknown>> = Object.freeze({})

function arrayOf(read: Read): Read {
  return cursor => {
    let n = cursor.block()
    if (n === 0) return emptyArray
    const items: unknown[] = []
    for (; n > 0; n = cursor.block())
      for (let i = 0; i < n && cursor.code === null; i++) items.push(read(cursor))
    return items
  }
}

function mapOf(read: Read): Read {
  return cursor => {
    let n = cursor.block()
    if (n === 0) return emptyMap
    const map: Record<string, unknown> = {}
    for (; n > 0; n = cursor.block())
      for (let i = 0; i < n && cursor.code === null; i++) {
        const key = cursor.label()
        map[key] = read(cursor)
      }
    return map
  }
}

/** A field's default as a value: shared by all records that lack the field, hence frozen. */
export function defaultOf(type: AvroType, given: unknown): unknown {
  if (type.kind === 'bytes') return Buffer.from(String(given), 'latin1')
  return typeof given === 'object' && given !== null ? Object.freeze(given) : given
}

function sameName(writer: { readonly name: string }, reader: { readonly name: string }): boolean {
  return unqualified(writer.name) === unqualified(reader.name)
}

function mismatch(path: string, writer: AvroType, reader: AvroType): FreshetError {
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    `${path} is written as ${describe(writer)} and cannot be read as ${describe(reader)}`,
  )
}
