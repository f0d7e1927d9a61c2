/**
 * A log that was written under five versions of the writers' schemas, archived, and read when the registry has forgotten some
 * of them and given another's id away. The oracle is fastavro: it writes the values, and reads the archive's files with the
 * archive's own schemas; what becomes of a field is stated here by hand, field by field.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { allOptions } from '../bin/all-options.ts'
import { digestOf } from '../bin/replay/digest-of.ts'
import { ArchiveReader } from '../replay/archive/reader.ts'
import { ReplayFolder } from '../replay/shadow/folder.ts'
import { Decoder, definitions, SchemaRegistry, type SchemaSource } from '../schemas/index.ts'
import { resolveOptions } from '../streams/options.ts'
import {
  HOUR,
  newFolder,
  newLog,
  removeFolders,
  run,
  T0,
  topicsOf,
} from './support/archived-log.ts'
import { runPython } from './support/python.ts'
import { startRegistry } from './support/registry.ts'

afterEach(removeFolders)

interface Schema {
  name: string
  namespace: string
  aliases?: string[]
  fields: { name: string; type: unknown; default?: unknown; aliases?: string[] }[]
}
type RecordOf = Record<string, unknown>

const required = ['eventId', 'userId', 'itemId', 'ts', 'consent', 'playId', 'watchedMs']
const symbolsAdded: Readonly<Record<string, readonly string[]>> = {
  EndReason: ['crashed', 'none', 'finished', 'skipped', 'left'],
  CandidateSource: [
    'trend',
    'popularity',
    'covisit',
    'knn',
    'embedding',
    'content',
    'explore',
    'other',
  ],
}

/** What each version made of the one that is current today. */
const versions: readonly ((schema: Schema) => void)[] = [
  // 1: the first release had what is required alone, and the surface
  schema => {
    schema.fields = schema.fields.filter(({ name }) => [...required, 'surface'].includes(name))
  },
  // 2: fields that freshet does not know, and enum symbols newer than the reader
  schema => {
    schema.fields.unshift({ name: 'abTest', type: ['null', 'string'], default: null })
    schema.fields.push({ name: 'tags', type: { type: 'map', values: 'long' }, default: {} })
    for (const { type } of schema.fields) {
      const named = type as { name?: string; symbols?: readonly string[] }
      if (named.name !== undefined && named.name in symbolsAdded)
        named.symbols = symbolsAdded[named.name]
    }
  },
  // 3: another team's namespace, optional fields gone, the rest in another order
  schema => {
    schema.namespace = 'com.example.tracking.v3'
    schema.fields = schema.fields
      .filter(({ name }) => name !== 'cohort' && name !== 'context')
      .reverse()
  },
  // 4: times in micros
  schema => {
    schema.fields = schema.fields.map(field =>
      field.name === 'ts'
        ? { name: 'ts', type: { type: 'long', logicalType: 'timestamp-micros' } }
        : field,
    )
  },
  // 5: the record and two of its fields have other names, and say what they were called
  schema => {
    schema.aliases = [`freshet.${schema.name}`]
    schema.name = `${schema.name}V5`
    for (const field of schema.fields)
      if (field.name === 'itemId' || field.name === 'surface') {
        field.aliases = [field.name]
        field.name = field.name === 'itemId' ? 'contentId' : 'placement'
      }
  },
]

const kinds = ['Impression', 'Watch'] as const
const perVersion = 40

/** The schemas, version by version, of both kinds. */
const writers = versions.flatMap((edit, version) =>
  kinds.map(kind => {
    const schema = JSON.parse(definitions[kind]) as Schema
    edit(schema)
    return { kind, version: version + 1, schema }
  }),
)

/** Record `i` as the writer of a version has it. */
function recordOf({ kind, version }: { kind: string; version: number }, i: number): RecordOf {
  const ts = T0 + version * HOUR + i * 1000
  const common = {
    eventId: `${kind}-${version}-${i}`,
    userId: `u${i % 5}`,
    itemId: `i${i % 11}`,
    ts: version === 4 ? ts * 1000 + 999 : ts,
    surface: i % 2 === 0 ? 'home' : 'feed',
    cohort: `c${i % 3}`,
    context: { device: i % 2 === 0 ? 'tv' : 'phone' },
    experiments: { rank: 'a' },
    consent: i % 7 === 0 ? 'contextual' : 'full',
    abTest: i % 4 === 0 ? 'b' : null,
    tags: { x: i },
  }
  const record: RecordOf =
    kind === 'Impression'
      ? {
          ...common,
          requestId: `r${i}`,
          position: i % 10,
          slateSize: 10,
          policy: 'p',
          score: i / 4,
          propensity: i % 3 === 0 ? null : 1 / (1 + i),
          candidateSource: version === 2 && i % 2 === 0 ? 'trend' : 'knn',
        }
      : {
          ...common,
          requestId: i % 3 === 0 ? null : `r${i}`,
          playId: `p${i}`,
          seq: i,
          watchedMs: i * 1000,
          durationMs: 60_000,
          endReason: version === 2 && i % 2 === 0 ? 'crashed' : 'finished',
        }
  if (version === 5) {
    record.contentId = record.itemId
    record.placement = record.surface
  }
  return record
}

const write = `
import base64, io, json, sys
from fastavro import parse_schema, schemaless_writer
def plain(schema):
    if isinstance(schema, dict):
        return {k: plain(v) for k, v in schema.items() if k != 'logicalType'}
    return [plain(v) for v in schema] if isinstance(schema, list) else schema
out = []
for case in json.load(sys.stdin):
    schema = parse_schema(plain(case['schema']))
    for record in case['records']:
        to = io.BytesIO()
        schemaless_writer(to, schema, record)
        out.append(base64.b64encode(to.getvalue()).decode())
json.dump(out, sys.stdout)
`

/** Reads the archive without freshet: files by the manifest, values by the archive's schemas. */
const recount = `
import io, json, sys, fastavro
given = json.load(sys.stdin)
folder = given['folder']
def plain(schema):
    if isinstance(schema, dict):
        return {k: plain(v) for k, v in schema.items() if k != 'logicalType'}
    return [plain(v) for v in schema] if isinstance(schema, list) else schema
def micros(schema):
    return [f['name'] for f in schema['fields'] if isinstance(f['type'], dict) and f['type'].get('logicalType') == 'timestamp-micros']
schemas = {}
def schema_of(id):
    if id not in schemas:
        text = json.loads(json.load(open(f'{folder}/schemas/{id}.json'))['schema'])
        schemas[id] = (text, fastavro.parse_schema(plain(text)))
    return schemas[id]
out = []
for file in json.load(open(folder + '/manifest.json'))['files']:
    for line in fastavro.reader(open(folder + '/' + file['path'], 'rb')):
        value = line['value']
        id = int.from_bytes(value[1:5], 'big')
        text, parsed = schema_of(id)
        read = fastavro.schemaless_reader(io.BytesIO(value[5:]), parsed, None)
        for name in micros(text):
            read[name] = read[name] // 1000
        kind = text['name'].replace('V5', '')
        for field in text['fields']:
            for old in field.get('aliases', []):
                read[old] = read.pop(field['name'])
        ours = given['readers'][kind]
        record = {}
        for field in ours['fields']:
            value = read[field['name']] if field['name'] in read else field['default']
            if isinstance(field['type'], dict) and field['type']['type'] == 'enum' and value not in field['type']['symbols']:
                value = field['type']['default']
            record[field['name']] = value
        out.append({'arrival': line['arrival'], 'kind': kind.lower(), 'record': record})
out.sort(key=lambda one: one['arrival'])
json.dump(out, sys.stdout)
`

/** When record `i` of a version came. */
const cameAt = (version: number, i: number): number => T0 + version * HOUR + i * 1000

/** An archive of all versions' records, partition by user, and the ids that its values name. */
async function archived() {
  const server = await startRegistry()
  const registry = new SchemaRegistry({ url: server.url })
  const log = await newLog(2)
  try {
    const cases = writers.map(writer => ({
      schema: writer.schema,
      records: Array.from({ length: perVersion }, (_, i) => recordOf(writer, i)),
    }))
    const values = runPython(write, cases) as string[]
    const ids: number[] = []
    for (const [k, writer] of writers.entries()) {
      const id = await registry.register(`writer-${k}`, JSON.stringify(writer.schema))
      ids.push(id)
      const framing = Buffer.from([0, 0, 0, 0, id])
      for (const [i, value] of values.slice(k * perVersion, (k + 1) * perVersion).entries())
        await log.send('events', [
          {
            key: Buffer.from(`u${i % 5}`),
            value: Buffer.concat([framing, Buffer.from(value, 'base64')]),
            timestamp: cameAt(writer.version, i),
          },
        ])
    }
    const dir = newFolder()
    await run(dir, { transport: log.transport, source: registry })
    return { dir, ids }
  } finally {
    registry.close()
    await server.close()
    await log.transport.close()
  }
}

async function decodeAll(dir: string, registry?: SchemaSource) {
  const reader = ArchiveReader.open(dir)
  const decoder = new Decoder('events', reader.schemas(registry))
  const all: unknown[] = []
  for await (const run of reader.read())
    for (const { arrival, value } of run) {
      let decoded = decoder.decode(value)
      if ('needs' in decoded) {
        await decoder.resolve(decoded.needs)
        decoded = decoder.decode(value)
      }
      all.push({ arrival, ...decoded })
    }
  return all
}

/** An archive of the same records, written with the schemas of today. */
async function ofToday(records: readonly { kind: string; record: RecordOf }[]): Promise<string> {
  const log = await newLog(2)
  for (const [k, { kind, record }] of records.entries()) {
    const name = kind === 'watch' ? 'Watch' : 'Impression'
    const version = Math.floor(k / (kinds.length * perVersion)) + 1
    await log.send('events', [
      {
        key: Buffer.from(String(record.userId)),
        value: log.encoder.encode(name, record as never),
        timestamp: cameAt(version, k % perVersion),
      },
    ])
  }
  const dir = newFolder()
  await run(dir, { transport: log.transport, source: log.registry })
  await log.transport.close()
  return dir
}

/** `freshet replay start` on an archive, without a log, a registry or stores. */
async function replayed(archive: string) {
  const program = ['--import', 'tsx', join(import.meta.dirname, '../bin/main.ts')]
  const data = newFolder()
  const set = ['clickhouse.url=none', 'redis.url=none', 'log.level=error']
  const flags = set.flatMap(option => ['--set', option])
  const args = ['--source', archive, '--topology', 'sessions,labels,popularity', '--data', data]
  const call = [...program, 'replay', 'start', 'history', ...args, ...flags]
  await promisify(execFile)(process.execPath, call)
  const folder = new ReplayFolder(data, 'history')
  const { values } = resolveOptions(allOptions, { flags: {}, environment: {}, file: {} })
  return { status: folder.status(), digest: digestOf(folder, values) }
}

const readers = Object.fromEntries(kinds.map(kind => [kind, JSON.parse(definitions[kind])]))

describe('a log of five schema versions', () => {
  it('reads from its archive whatever the registry has become', async () => {
    const { dir, ids } = await archived()
    const expected = runPython(recount, { folder: dir, readers }) as unknown[]
    expect(expected).toHaveLength(writers.length * perVersion)
    const asked: number[] = []
    // half the ids are forgotten, the others stand for another record now
    const changed: SchemaSource = {
      async find(id) {
        asked.push(id)
        return id % 2 === 0 ? null : { type: 'AVRO', text: definitions.Feedback, references: [] }
      },
    }
    expect(await decodeAll(dir, changed)).toEqual(expected)
    expect(new Set(ids).size).toBe(writers.length)
    // the archive's own schema goes first: nobody asked
    expect(asked).toEqual([])
    expect(await decodeAll(dir)).toEqual(expected)
  }, 60_000)

  it('replays to the state that the same records under one schema replay to', async () => {
    const { dir } = await archived()
    const expected = runPython(recount, { folder: dir, readers }) as Parameters<typeof ofToday>[0]
    const ours = await replayed(dir)
    expect(ours.status).toMatchObject({ state: 'done', deadLetters: 0 })
    expect(ours.status?.records).toBe(writers.length * perVersion)
    const theirs = await replayed(await ofToday(expected))
    expect(ours.digest).toEqual(theirs.digest)
    expect(ours.digest?.sessions).toMatch(/^[0-9a-f]{16,}/)
  }, 240_000)

  it('asks the registry for what the archive has not, and calls unknown what neither has', async () => {
    const log = await newLog(1, ['events'])
    const value = Buffer.concat([Buffer.from([0, 0, 0, 0, 77]), Buffer.from('x')])
    await log.send('events', [{ key: Buffer.from('u'), value, timestamp: T0 }])
    const dir = newFolder()
    const none: SchemaSource = { find: async () => null }
    await run(dir, { transport: log.transport, source: none, topics: topicsOf('events') })
    expect(await decodeAll(dir, none)).toMatchObject([{ bad: 'SCHEMA_UNKNOWN' }])
    const knows: SchemaSource = {
      find: async () => ({ type: 'AVRO', text: definitions.Watch, references: [] }),
    }
    expect(await decodeAll(dir, knows)).toMatchObject([{ bad: 'DECODE_FAILED' }])
    await log.transport.close()
  })

  it("reads a field's own name before what another field was called", async () => {
    const writer = JSON.parse(definitions.Watch) as Schema
    writer.fields.unshift({ name: 'shelf', type: 'string', default: '', aliases: ['surface'] })
    const record = { ...recordOf({ kind: 'Watch', version: 1 }, 1), shelf: 'top' }
    const [value] = runPython(write, [{ schema: writer, records: [record] }]) as string[]
    const decoder = new Decoder('events', {
      find: async () => ({ type: 'AVRO', text: JSON.stringify(writer), references: [] }),
    })
    await decoder.resolve(7)
    const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), Buffer.from(value, 'base64')])
    expect(decoder.decode(bytes)).toMatchObject({ record: { surface: 'feed' } })
  })
})
