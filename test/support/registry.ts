/**
 * A schema registry for tests, in memory, that keeps to Confluent's public REST contract as far as freshet and its
 * producers use it: schemas by id, subjects and versions, config, compatibility. No real registry server can be had from
 * the package registries, so Confluent's own client is what judges this one. Avro only.
 *
 * As a program: `npx tsx test/support/registry.ts --port 8081`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import avsc from 'avsc'

export interface RegistryServer {
  readonly url: string
  /** Requests answered so far: to see that ids are asked for once. */
  readonly requests: () => number
  close(): Promise<void>
}

interface Version {
  readonly version: number
  readonly id: number
  readonly body: SchemaBody
  deleted: boolean
}

interface SchemaBody {
  readonly schema: string
  readonly schemaType?: string
  readonly references?: readonly { name: string; subject: string; version: number }[]
}

interface Failure {
  readonly status: number
  readonly code: number
  readonly message: string
}

const levels = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
]

export async function startRegistry(port = 0): Promise<RegistryServer> {
  const registry = new Registry()
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    void answer(registry, request, response)
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${bound}`,
    requests: () => requests,
    close: () => closed(server),
  }
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise(resolve => server.close(() => resolve()))
}

async function answer(registry: Registry, request: IncomingMessage, response: ServerResponse) {
  let status = 200
  let body: unknown
  try {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    body = registry.route(request.method ?? 'GET', request.url ?? '/', text)
  } catch (thrown) {
    const failure = isFailure(thrown)
      ? thrown
      : { status: 500, code: 50001, message: String(thrown) }
    status = failure.status
    body = { error_code: failure.code, message: failure.message }
  }
  response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
  response.end(JSON.stringify(body))
}

class Registry {
  private readonly subjects = new Map<string, Version[]>()
  /** By the schema's own text (and references): the same schema has one id in all subjects. */
  private readonly ids = new Map<string, number>()
  private readonly bodies = new Map<number, SchemaBody>()
  private readonly config = new Map<string, string>()
  private level = 'BACKWARD'

  route(method: string, target: string, text: string): unknown {
    const url = new URL(target, 'http://registry')
    const path = url.pathname.split('/').filter(Boolean).map(decodeURIComponent)
    const deleted = url.searchParams.get('deleted') === 'true'
    const call = `${method} ${path.map((part, i) => (i % 2 === 0 ? part : '*')).join('/')}`
    switch (call) {
      case 'GET ':
        return {}
      case 'GET subjects':
        return [...this.subjects.keys()].filter(name => this.versions(name, deleted).length > 0)
      case 'POST subjects/*':
        return this.lookUp(path[1], body(text), deleted)
      case 'DELETE subjects/*':
        return this.remove(path[1])
      case 'GET subjects/*/versions':
        return this.existing(path[1], deleted).map(each => each.version)
      case 'POST subjects/*/versions':
        return this.register(path[1], body(text))
      case 'GET subjects/*/versions/*':
        return described(path[1], this.version(path[1], path[3], deleted))
      case 'GET config':
        return { compatibilityLevel: this.level }
      case 'PUT config':
        this.level = level(text)
        return { compatibility: this.level }
      case 'GET config/*': {
        const found = this.config.get(path[1])
        if (found !== undefined) return { compatibilityLevel: found }
        if (url.searchParams.get('defaultToGlobal') === 'true')
          return { compatibilityLevel: this.level }
        throw fail(
          404,
          40408,
          `Subject '${path[1]}' does not have subject-level compatibility configured`,
        )
      }
      case 'PUT config/*':
        this.config.set(path[1], level(text))
        return { compatibility: this.config.get(path[1]) }
    }
    if (method === 'GET' && path[0] === 'schemas' && path[1] === 'ids') return this.byId(path)
    if (method === 'GET' && path.join('/') === 'schemas/types') return ['AVRO']
    if (method === 'POST' && path[0] === 'compatibility' && path[1] === 'subjects')
      return { is_compatible: this.isCompatible(path[2], path[4], body(text)) }
    throw fail(404, 404, 'HTTP 404 Not Found')
  }

  private byId(path: readonly string[]): unknown {
    const found = this.bodies.get(Number(path[2]))
    if (!found) throw fail(404, 40403, `Schema ${path[2]} not found`)
    if (path[3] === 'schema') return JSON.parse(found.schema)
    if (path[3] === 'subjects' || path[3] === 'versions')
      return [...this.subjects].flatMap(([subject, versions]) =>
        versions
          .filter(each => each.id === Number(path[2]) && !each.deleted)
          .map(each => (path[3] === 'subjects' ? subject : { subject, version: each.version })),
      )
    return found
  }

  private register(subject: string, given: SchemaBody): unknown {
    this.parse(given)
    const versions = this.versions(subject, false)
    const same = versions.find(each => each.body.schema === given.schema)
    if (same) return { id: same.id }
    const problem = this.incompatibility(subject, versions, given)
    if (problem)
      throw fail(
        409,
        409,
        `Schema being registered is incompatible with an earlier schema for subject "${subject}": ${problem}`,
      )
    const key = JSON.stringify([given.schema, given.references ?? []])
    const id = this.ids.get(key) ?? this.ids.size + 1
    this.ids.set(key, id)
    this.bodies.set(id, given)
    const all = this.subjects.get(subject) ?? []
    all.push({ version: all.length + 1, id, body: given, deleted: false })
    this.subjects.set(subject, all)
    return { id }
  }

  private lookUp(subject: string, given: SchemaBody, deleted: boolean): unknown {
    const versions = this.existing(subject, deleted)
    this.parse(given)
    const found = versions.find(each => each.body.schema === given.schema)
    if (!found) throw fail(404, 40403, 'Schema not found')
    return described(subject, found)
  }

  private remove(subject: string): unknown {
    const versions = this.existing(subject, false)
    for (const each of versions) each.deleted = true
    return versions.map(each => each.version)
  }

  private isCompatible(subject: string, version: string | undefined, given: SchemaBody): boolean {
    this.parse(given)
    const against = version
      ? [this.version(subject, version, false)]
      : this.existing(subject, false)
    return this.incompatibility(subject, against, given) === null
  }

  /** Why a new schema may not follow the older ones at the subject's level; null: it may. */
  private incompatibility(
    subject: string,
    versions: readonly Version[],
    given: SchemaBody,
  ): string | null {
    const wanted = this.config.get(subject) ?? this.level
    const against = wanted.endsWith('_TRANSITIVE') ? versions : versions.slice(-1)
    const mode = wanted.replace('_TRANSITIVE', '')
    for (const older of against) {
      const problem =
        (mode === 'BACKWARD' || mode === 'FULL' ? this.unreadable(given, older.body) : null) ??
        (mode === 'FORWARD' || mode === 'FULL' ? this.unreadable(older.body, given) : null)
      if (problem) return `version ${older.version}: ${problem}`
    }
    return null
  }

  private unreadable(reader: SchemaBody, writer: SchemaBody): string | null {
    const [of, by] = [this.parse(writer), this.parse(reader)]
    try {
      by.createResolver(of)
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  private parse(given: SchemaBody): avsc.Type {
    const types: Record<string, avsc.Type> = {}
    try {
      for (const reference of given.references ?? []) {
        const found = this.version(reference.subject, String(reference.version), true)
        avsc.Type.forSchema(JSON.parse(found.body.schema), { registry: types })
      }
      return avsc.Type.forSchema(JSON.parse(given.schema), { registry: types })
    } catch (error) {
      throw fail(422, 42201, `Invalid schema: ${error instanceof Error ? error.message : error}`)
    }
  }

  private versions(subject: string, deleted: boolean): Version[] {
    return (this.subjects.get(subject) ?? []).filter(each => deleted || !each.deleted)
  }

  private existing(subject: string, deleted: boolean): Version[] {
    const versions = this.versions(subject, deleted)
    if (versions.length === 0) throw fail(404, 40401, `Subject '${subject}' not found.`)
    return versions
  }

  private version(subject: string, wanted: string, deleted: boolean): Version {
    const versions = this.existing(subject, deleted)
    if (wanted !== 'latest' && !(Number(wanted) >= 1))
      throw fail(422, 42202, `The specified version '${wanted}' is not a valid version id`)
    const found =
      wanted === 'latest' ? versions.at(-1) : versions.find(each => each.version === Number(wanted))
    if (!found) throw fail(404, 40402, `Version ${wanted} not found.`)
    return found
  }
}

function described(subject: string, { version, id, body: given }: Version): unknown {
  return { subject, version, id, ...given }
}

function body(text: string): SchemaBody {
  const given = parsed(text) as Partial<SchemaBody>
  if (typeof given.schema !== 'string' || given.schema === '')
    throw fail(422, 42201, 'Invalid schema: empty')
  if (given.schemaType !== undefined && given.schemaType !== 'AVRO')
    throw fail(422, 42201, `Invalid schema: type ${given.schemaType} is not supported here`)
  const { schema, references } = given
  return references?.length ? { schema, references } : { schema }
}

function level(text: string): string {
  const { compatibility } = parsed(text) as { compatibility?: string }
  if (compatibility !== undefined && levels.includes(compatibility)) return compatibility
  throw fail(422, 42203, `Invalid compatibility level. Valid values are ${levels.join(', ')}`)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw fail(400, 400, `malformed JSON: ${error}`)
  }
}

function fail(status: number, code: number, message: string): Failure {
  return { status, code, message }
}

function isFailure(thrown: unknown): thrown is Failure {
  return typeof thrown === 'object' && thrown !== null && 'status' in thrown && 'code' in thrown
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '8081' } } })
  const server = await startRegistry(Number(values.port))
  console.log(`schema registry for tests at ${server.url}`)
}
