/**
 * Bytes to records: Confluent framing (byte 0, schema id, Avro) on every topic, and plain JSON on events. Invariants:
 * 1. `decode` is synchronous and never throws; what is wrong with a value is its answer.
 * 2. A schema id is asked for once. Where the registry does not know it, its records are SCHEMA_UNKNOWN, and the id is
 *    asked for again after `unknownForMs`. Where the registry does not answer, `resolve` waits: nothing goes to the
 *    dead letters because another system is down.
 *
 * Hot code: decode.bench.ts measures it.
 */
import { type Clock, systemClock } from '../streams/clock.ts'
import { messageOf } from '../streams/errors.ts'
import type { DeadLetterCode } from '../streams/topology/outbox.ts'
import { type AvroType, parseSchema, unqualified } from './avro-schema.ts'
import { compile, isCalled, type Read } from './compile.ts'
import { Cursor } from './cursor.ts'
import { jsonEvent } from './json.ts'
import { readerSchemas } from './readers.ts'
import type { FoundSchema } from './registry.ts'
import { type OutsideTopic, type RecordsOf, topicRecords } from './topics.ts'
import type { RecordName, RecordTypes } from './types.ts'
import { type Check, checks } from './validate.ts'

/** `kind` is the record's name with a small first letter. */
export type Decoded<N extends RecordName = RecordName> = {
  readonly [K in N]: { readonly kind: Uncapitalize<K>; readonly record: RecordTypes[K] }
}[N]

export interface Bad {
  readonly bad: DeadLetterCode
  readonly message: string
}

/** Call `resolve` with the id, then decode the value again. */
export interface Needs {
  readonly needs: number
}

/** Where schemas come from: a SchemaRegistry. */
export interface SchemaSource {
  /** null: it has no such id. Throws while it does not answer. */
  find(id: number): Promise<FoundSchema | null>
}

interface Plan {
  readonly kind: Uncapitalize<RecordName>
  readonly read: Read
  readonly check: Check<unknown>
}

/** What is known of a schema id: one plan, one for each branch of a union, or why there is none. */
type Known = Plan | readonly (Plan | Bad)[] | { readonly answer: Bad; readonly until: number }

const unknownForMs = 30_000
const mostKnown = 10_000
const firstRetryMs = 100
const longestRetryMs = 1000

export class Decoder<T extends OutsideTopic> {
  private readonly topic: OutsideTopic
  private readonly source: SchemaSource
  private readonly clock: Clock
  private readonly known = new Map<number, Known>()
  private readonly asking = new Map<
    number,
    { readonly since: number; readonly done: Promise<void> }
  >()
  private readonly cursor = new Cursor()
  private lastId = -1
  private lastPlan: Plan | null = null
  private problem = ''

  constructor(topic: T, source: SchemaSource, clock: Clock = systemClock) {
    this.topic = topic
    this.source = source
    this.clock = clock
  }

  /** One value of the topic. A tombstone (null) has no record: look for it first. Views into `value` may be kept in the record's byte fields. */
  decode(value: Buffer | null): Decoded<RecordsOf<T>> | Bad | Needs {
    // a plan is only kept for a record that the topic may carry
    return this.read(value) as Decoded<RecordsOf<T>> | Bad | Needs
  }

  private read(value: Buffer | null): { kind: string; record: unknown } | Bad | Needs {
    if (value === null || value.length === 0)
      return { bad: 'DECODE_FAILED', message: 'the record has no value' }
    if (value[0] !== 0) return this.unframed(value)
    if (value.length < 5)
      return { bad: 'DECODE_FAILED', message: `${value.length} bytes are no framed value` }
    const id = value.readInt32BE(1)
    const { cursor } = this
    cursor.reset(value, 5)
    let plan = this.lastPlan
    if (id !== this.lastId || plan === null) {
      const found = this.find(id)
      if ('bad' in found || 'needs' in found) return found
      plan = found
    }
    const record = plan.read(cursor)
    if (cursor.code !== null)
      return { bad: cursor.code, message: `schema ${id}: ${cursor.message}` }
    if (cursor.at !== cursor.end)
      return {
        bad: 'DECODE_FAILED',
        message: `schema ${id}: ${cursor.end - cursor.at} bytes are left over`,
      }
    const problem = plan.check(record)
    if (problem !== null) return { bad: 'FIELD_INVALID', message: problem }
    return { kind: plan.kind, record }
  }

  private find(id: number): Plan | Bad | Needs {
    const known = this.known.get(id)
    if (known === undefined) return { needs: id }
    if ('read' in known) {
      this.lastId = id
      this.lastPlan = known
      return known
    }
    if ('answer' in known) return known.until <= this.clock.now() ? { needs: id } : known.answer
    const branch = known[this.cursor.index(known.length)]
    const { code, message } = this.cursor
    return code === null ? branch : { bad: code, message: `schema ${id}: ${message}` }
  }

  private unframed(value: Buffer): { kind: string; record: unknown } | Bad {
    if (this.topic !== 'events' || value[0] !== 0x7b)
      return {
        bad: 'DECODE_FAILED',
        message: `the value starts with byte ${value[0]}: neither Confluent framing (byte 0, schema id, Avro)${this.topic === 'events' ? ' nor JSON' : ''}`,
      }
    const event = jsonEvent(value)
    if ('bad' in event) return event
    const plan = jsonPlans[event.name]
    const problem = plan.check(event.record)
    if (problem !== null) return { bad: 'FIELD_INVALID', message: problem }
    return { kind: plan.kind, record: event.record }
  }

  /** Makes the id decodable or SCHEMA_UNKNOWN; waits as long as the source does not answer. Rejects when aborted. */
  resolve(id: number, signal?: AbortSignal): Promise<void> {
    const running = this.asking.get(id)
    if (running) return running.done
    const done = this.ask(id, signal).finally(() => this.asking.delete(id))
    this.asking.set(id, { since: this.clock.now(), done })
    return done
  }

  private async ask(id: number, signal?: AbortSignal): Promise<void> {
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      signal?.throwIfAborted()
      try {
        const found = await this.source.find(id)
        this.keep(id, found ? this.plan(id, found) : unknown(id, this.clock.now()))
        this.problem = ''
        return
      } catch (error) {
        this.problem = messageOf(error)
        await this.clock.sleep(delayMs)
      }
    }
  }

  private keep(id: number, known: Known): void {
    // broken framing may make up any number of ids
    if (this.known.size >= mostKnown)
      for (const [other, its] of this.known)
        if ('answer' in its) {
          this.known.delete(other)
          break
        }
    this.known.set(id, known)
  }

  /** For health: which id is waited for since when and why, or null. */
  waiting(): string | null {
    for (const [id, { since }] of this.asking)
      if (this.problem)
        return `waiting for schema ${id} since ${new Date(since).toISOString()}: ${this.problem}`
    return null
  }

  private plan(id: number, found: FoundSchema): Known {
    if (found.type !== 'AVRO')
      return incompatible(`schema ${id} is ${found.type}; freshet reads AVRO`)
    try {
      const writer = parseSchema(found.text, found.references)
      if (writer.kind === 'union') return writer.branches.map(branch => this.planFor(id, branch))
      const plan = this.planFor(id, writer)
      return 'bad' in plan ? incompatible(plan.message) : plan
    } catch (error) {
      return incompatible(`schema ${id}: ${messageOf(error)}`)
    }
  }

  private planFor(id: number, writer: AvroType): Plan | Bad {
    const names: readonly RecordName[] = topicRecords[this.topic]
    const isOurs = (ours: RecordName): boolean =>
      writer.kind === 'record' && unqualified(writer.name) === ours
    const wasOurs = (ours: RecordName): boolean =>
      writer.kind === 'record' && isCalled(writer, ours)
    const name = names.find(isOurs) ?? names.find(wasOurs)
    if (name === undefined) {
      const found = writer.kind === 'record' ? writer.name : writer.kind
      const message = `schema ${id} is ${found}; on this topic freshet reads ${names.join(', ')}`
      return { bad: 'SCHEMA_INCOMPATIBLE', message }
    }
    try {
      return planOf(name, compile(writer, readerSchemas[name]))
    } catch (error) {
      return { bad: 'SCHEMA_INCOMPATIBLE', message: `schema ${id}: ${messageOf(error)}` }
    }
  }
}

function planOf(name: RecordName, read: Read): Plan {
  const kind = (name[0].toLowerCase() + name.slice(1)) as Uncapitalize<RecordName>
  return { kind, read, check: checks[name] as Check<unknown> }
}

const neverRead: Read = () => undefined
const jsonPlans = {
  Impression: planOf('Impression', neverRead),
  Watch: planOf('Watch', neverRead),
  Feedback: planOf('Feedback', neverRead),
}

function incompatible(message: string): Known {
  return { answer: { bad: 'SCHEMA_INCOMPATIBLE', message }, until: Number.POSITIVE_INFINITY }
}

function unknown(id: number, now: number): Known {
  const message = `the schema registry has no schema ${id}`
  return { answer: { bad: 'SCHEMA_UNKNOWN', message }, until: now + unknownForMs }
}
