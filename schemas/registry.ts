/**
 * The schema registry, on Confluent's client: registers freshet's schemas and finds a writer's schema by its id. A URL
 * `mock://...` is a registry within the process, for the embedded parts: there, the schemas of every release are
 * registered in one fixed order, so that the ids in an embedded log mean the same after an upgrade.
 */

// the client alone: the package's index loads five cloud vendors' key services, a second of every start
import { RestError } from '@confluentinc/schemaregistry/dist/rest-error.js'
import type { ClientConfig } from '@confluentinc/schemaregistry/dist/rest-service.js'
import {
  type Client,
  Compatibility,
  type Reference,
  SchemaRegistryClient,
} from '@confluentinc/schemaregistry/dist/schemaregistry-client.js'
import { FreshetError, messageOf } from '../streams/errors.ts'
import { type Logger, silentLogger } from '../streams/log.ts'
import { definitions, released } from './definitions.ts'
import { type OutsideTopic, topicRecords } from './topics.ts'
import type { RecordName } from './types.ts'

interface RegistryAddress {
  /** One or more URLs, separated by commas; user and password may stand in it. */
  readonly url: string
  /** Told when schemas can't be asked for, and when they can again. */
  readonly log?: Logger
}

/** A writer's schema as the registry has it. */
export interface FoundSchema {
  /** AVRO, JSON or PROTOBUF. */
  readonly type: string
  readonly text: string
  /** Texts of the schemas it refers to, each after those it needs itself. */
  readonly references: readonly string[]
}

/** A subject as the registry has it, without changing anything there. */
export interface SubjectCondition {
  readonly subject: string
  /** missing: there is no such subject; older: it has other versions, and ours may follow them. */
  readonly state: 'registered' | 'older' | 'missing' | 'incompatible'
}

/** The subject of a record's schema: TopicRecordNameStrategy. */
export function subjectOf(prefix: string, topic: OutsideTopic, name: RecordName): string {
  return `${prefix}${topic}-freshet.${name}`
}

/** Error codes for an id that the registry does not have; 40400 is the in-process one's. */
const unknownIdCodes = [40403, 40400]
/** Answers to a look-up of a schema that the subject does not have. */
const unknownSchemaCodes = [40401, 40403]
const requestTimeoutMs = 10_000

export class SchemaRegistry {
  /** Where it is, without password: for messages. */
  readonly where: string
  private readonly client: Client
  private readonly inProcess: boolean
  private readonly log: Logger
  /** Since when it does not give schemas. */
  private awaySince: number | undefined

  constructor(address: RegistryAddress) {
    this.log = address.log ?? silentLogger
    const urls = address.url.split(',').map(url => url.trim())
    const { bare, userInfo } = withoutPassword(urls)
    this.where = bare.join(', ')
    this.inProcess = urls[0].startsWith('mock://')
    const config: ClientConfig = {
      baseURLs: bare,
      createAxiosDefaults: { timeout: requestTimeoutMs },
      // whoever asks decides how long to go on asking
      maxRetries: 0,
      ...(userInfo && { basicAuthCredentials: { credentialsSource: 'USER_INFO', userInfo } }),
    }
    this.client = SchemaRegistryClient.newClient(config)
  }

  /**
   * Registers the schemas of freshet's topics, each subject FULL_TRANSITIVE, and gives their ids.
   * Errors: DEPENDENCY_UNREACHABLE, or DEPENDENCY_UNSUITABLE where the registry refuses.
   */
  async registerAll(prefix: string): Promise<ReadonlyMap<RecordName, number>> {
    if (this.inProcess)
      for (const release of released)
        await this.eachRecord(async (topic, name) => {
          const text = release[name]
          if (text !== undefined) await this.register(subjectOf(prefix, topic, name), text)
        })
    const ids = new Map<RecordName, number>()
    await this.eachRecord(async (topic, name) => {
      const subject = subjectOf(prefix, topic, name)
      await this.makeCompatible(subject)
      ids.set(name, await this.register(subject, definitions[name]))
    })
    return ids
  }

  private async eachRecord(
    act: (topic: OutsideTopic, name: RecordName) => Promise<void>,
  ): Promise<void> {
    for (const [topic, names] of Object.entries(topicRecords))
      for (const name of names) await act(topic as OutsideTopic, name)
  }

  /** Registers one schema under a subject; the same text again gives the same id. */
  async register(subject: string, text: string): Promise<number> {
    return this.ask(`registering ${subject}`, () =>
      this.client.register(subject, { schema: text, schemaType: 'AVRO' }, false),
    )
  }

  private async makeCompatible(subject: string): Promise<void> {
    if (this.inProcess) return
    await this.ask(`setting the compatibility of ${subject}`, () =>
      this.client.updateCompatibility(subject, Compatibility.FULL_TRANSITIVE),
    )
  }

  /**
   * The schema of an id; null where the registry answers that it has none.
   * Errors: as `registerAll`; an id cannot be called unknown while the registry does not answer properly.
   */
  async find(id: number): Promise<FoundSchema | null> {
    try {
      const info = await this.client.getBySubjectAndId('', id)
      const references = await this.referencesOf(info.references ?? [], [])
      this.answered()
      return { type: info.schemaType || 'AVRO', text: info.schema, references }
    } catch (error) {
      if (error instanceof RestError && unknownIdCodes.includes(error.errorCode)) {
        this.answered()
        return null
      }
      throw this.missed(this.explain(`asking for schema ${id}`, error))
    }
  }

  private missed(failure: FreshetError): FreshetError {
    if (this.awaySince === undefined) {
      this.awaySince = performance.now()
      this.log.warn({ registry: this.where }, `waiting for a schema: ${failure.message}`)
    }
    return failure
  }

  private answered(): void {
    if (this.awaySince === undefined) return
    const waitedMs = Math.round(performance.now() - this.awaySince)
    this.awaySince = undefined
    this.log.info({ registry: this.where, waitedMs }, 'the schema registry gives schemas again')
  }

  private async referencesOf(references: readonly Reference[], path: string[]): Promise<string[]> {
    const texts: string[] = []
    for (const { subject, version } of references) {
      const key = `${subject}@${version}`
      if (path.includes(key)) continue
      const found = await this.client.getSchemaMetadata(subject, version, true)
      for (const text of await this.referencesOf(found.references ?? [], [...path, key]))
        if (!texts.includes(text)) texts.push(text)
      if (!texts.includes(found.schema)) texts.push(found.schema)
    }
    return texts
  }

  /** How freshet's subjects stand. Errors as `registerAll`. */
  async conditions(prefix: string): Promise<readonly SubjectCondition[]> {
    const there = new Set(await this.ask('listing subjects', () => this.client.getAllSubjects()))
    const conditions: SubjectCondition[] = []
    await this.eachRecord(async (topic, name) => {
      const subject = subjectOf(prefix, topic, name)
      const state = there.has(subject) ? await this.standing(subject, name) : 'missing'
      conditions.push({ subject, state })
    })
    return conditions
  }

  private async standing(subject: string, name: RecordName): Promise<SubjectCondition['state']> {
    const schema = { schema: definitions[name], schemaType: 'AVRO' }
    try {
      await this.client.getId(subject, schema, false)
      return 'registered'
    } catch (error) {
      if (!(error instanceof RestError && unknownSchemaCodes.includes(error.errorCode)))
        throw this.explain(`looking up ${subject}`, error)
    }
    const may = await this.ask(`testing ${subject}`, () =>
      this.client.testSubjectCompatibility(subject, schema),
    )
    return may ? 'older' : 'incompatible'
  }

  /** Does the registry answer? Errors as `registerAll`. */
  async check(): Promise<void> {
    await this.ask('listing subjects', () => this.client.getAllSubjects())
  }

  close(): void {
    this.client.close()
  }

  private async ask<T>(doing: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request()
    } catch (error) {
      throw this.explain(doing, error)
    }
  }

  private explain(doing: string, error: unknown): FreshetError {
    const refused = error instanceof RestError && error.status >= 400 && error.status < 500
    const status = error instanceof RestError ? ` (HTTP ${error.status}, ${error.errorCode})` : ''
    const remedy = refused ? '' : '; is it up, and schemaRegistry.url right?'
    return new FreshetError(
      refused ? 'DEPENDENCY_UNSUITABLE' : 'DEPENDENCY_UNREACHABLE',
      `the schema registry at ${this.where} ${refused ? 'refused' : 'did not answer'} when ${doing}: ${messageOf(error)}${status}${remedy}`,
      error,
    )
  }
}

function withoutPassword(urls: readonly string[]): { bare: string[]; userInfo: string } {
  let userInfo = ''
  const bare = urls.map(text => {
    if (!URL.canParse(text))
      throw new FreshetError(
        'OPTION_INVALID',
        `option schemaRegistry.url got ${JSON.stringify(text)}; it takes http(s)://host:port or mock://name`,
      )
    const url = new URL(text)
    if (url.username === '') return text
    userInfo = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    url.username = ''
    url.password = ''
    return url.href.replace(/\/$/, '')
  })
  return { bare, userInfo }
}
