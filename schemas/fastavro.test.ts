/**
 * Another implementation of Avro as the oracle: fastavro writes by writers of many kinds, and reads by its own schema
 * resolution; what freshet reads must be the same. What the specification leaves to us is stated by hand.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runPython } from '../test/support/python.ts'
import { impressions, items, watches } from '../test/support/records.ts'
import { Decoder, definitions, Encoder, type RecordName } from './index.ts'

interface Field {
  name: string
  type: unknown
  default?: unknown
}
interface Schema {
  name: string
  namespace?: string
  fields: Field[]
}

const schemaOf = (name: RecordName): Schema => JSON.parse(definitions[name])

/** fastavro makes datetimes of timestamps: for it, they are longs. */
const plain = (schema: unknown): unknown =>
  JSON.parse(JSON.stringify(schema, (key, value) => (key === 'logicalType' ? undefined : value)))

const script = `
import base64, io, json, sys
from fastavro import parse_schema, schemaless_reader, schemaless_writer
out = []
for case in json.load(sys.stdin):
    writer = parse_schema(case['writer'])
    reader = parse_schema(case['reader']) if case.get('reader') else None
    blobs = [f['name'] for f in case['writer']['fields'] if f['type'] == 'bytes']
    for record in case['records']:
        if 'abTest' in record:
            leaf = {'bytes': b'', 'sub': []}
            record.update(x1=[{'a': 1.5, 'b': 2}, {}], x2='high', x3=b'12345', x4={'bytes': b'zz', 'sub': [leaf, leaf]}, x5=True)
        for name in blobs:
            record[name] = record[name].encode()
        to = io.BytesIO()
        schemaless_writer(to, writer, record)
        read = schemaless_reader(io.BytesIO(to.getvalue()), writer, reader) if reader else None
        out.append({'bytes': base64.b64encode(to.getvalue()).decode(), 'read': read})
json.dump(out, sys.stdout)
`

interface Written {
  readonly bytes: string
  readonly read: unknown
}

function write(writer: Schema, records: readonly unknown[], reader?: Schema): Written[] {
  const cases = [{ writer: plain(writer), reader: reader && plain(reader), records }]
  return runPython(script, cases) as Written[]
}

async function decoderOf(
  topic: 'events' | 'items',
  writer: Schema,
): Promise<Decoder<'events' | 'items'>> {
  const text = JSON.stringify(writer)
  const decoder = new Decoder(topic, {
    find: async () => ({ type: 'AVRO', text, references: [] }),
  })
  await decoder.resolve(7)
  return decoder
}

const framed = (bytes: string) =>
  Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), Buffer.from(bytes, 'base64')])

const sample = <T>(records: fc.Arbitrary<T>) =>
  fc.sample(records, { numRuns: 60, seed: 20_260_101 })

function edited(name: RecordName, edit: (schema: Schema) => void): Schema {
  const schema = schemaOf(name)
  edit(schema)
  return schema
}

const newer = (schema: Schema) => {
  schema.fields.unshift({ name: 'abTest', type: ['null', 'string'], default: null })
  schema.fields.push(
    { name: 'x1', type: { type: 'array', items: { type: 'map', values: 'double' } }, default: [] },
    { name: 'x2', type: { type: 'enum', name: 'Mood', symbols: ['low', 'high'] }, default: 'low' },
    { name: 'x3', type: { type: 'fixed', name: 'Five', size: 5 }, default: 'abcde' },
    {
      name: 'x4',
      type: {
        type: 'record',
        name: 'Tree',
        fields: [
          { name: 'bytes', type: 'bytes' },
          { name: 'sub', type: { type: 'array', items: 'Tree' } },
        ],
      },
      default: { bytes: 'b', sub: [] },
    },
    { name: 'x5', type: ['float', 'boolean', 'int'], default: 1 },
  )
}
const retype = (name: string, type: unknown) => (schema: Schema) => {
  schema.fields = schema.fields.map(field => (field.name === name ? { name, type } : field))
}

const writers: [string, RecordName, (schema: Schema) => void][] = [
  ['the current schema', 'Impression', () => undefined],
  ['the current schema', 'Watch', () => undefined],
  ['the current schema', 'Item', () => undefined],
  [
    'one version behind: no field that has a default',
    'Impression',
    schema => {
      schema.fields = schema.fields.filter(field => field.default === undefined)
    },
  ],
  [
    'one version behind: no field that has a default',
    'Item',
    schema => {
      schema.fields = schema.fields.filter(field => field.default === undefined)
    },
  ],
  ['one version ahead: fields of every type that we do not know', 'Impression', newer],
  ['one version ahead: fields of every type that we do not know', 'Watch', newer],
  ['fields in another order', 'Watch', schema => void schema.fields.reverse()],
  ['null last in unions', 'Impression', retype('listVersion', ['string', 'null'])],
  ['an int that we read as long', 'Watch', retype('watchedMs', 'int')],
  ['a float that we read as double or null', 'Impression', retype('propensity', ['null', 'float'])],
  ['a field that is never null with them', 'Impression', retype('score', 'float')],
  ['bytes that we read as string', 'Watch', retype('cohort', 'bytes')],
]

const records: Partial<Record<RecordName, readonly object[]>> = {
  Impression: sample(impressions),
  Watch: sample(watches),
  Item: sample(items),
}

describe('what fastavro wrote reads as fastavro reads it', () => {
  it.each(writers)('%s (%s)', async (_, name, edit) => {
    const writer = edited(name, edit)
    const given = (records[name] ?? []).map(record => ({ ...record }) as Record<string, unknown>)
    for (const record of given) {
      if (writer.fields.find(field => field.name === 'score')?.type === 'float') record.score ??= 0
      if (writer.fields.some(field => field.name === 'abTest')) record.abTest = 'b'
    }
    const decoder = await decoderOf(name === 'Item' ? 'items' : 'events', writer)
    for (const { bytes, read } of write(writer, given, schemaOf(name)))
      expect(decoder.decode(framed(bytes))).toEqual({ kind: name.toLowerCase(), record: read })
  })

  it('what freshet wrote too', () => {
    const encoder = new Encoder(new Map<RecordName, number>([['Impression', 1]]))
    const given = sample(impressions)
    const values = given.map(record =>
      encoder.encode('Impression', record).subarray(5).toString('base64'),
    )
    const read = runPython(
      `
import base64, io, json, sys
from fastavro import parse_schema, schemaless_reader
given = json.load(sys.stdin)
schema = parse_schema(given['schema'])
json.dump([schemaless_reader(io.BytesIO(base64.b64decode(v)), schema, None) for v in given['values']], sys.stdout)
`,
      { schema: plain(schemaOf('Impression')), values },
    )
    expect(read).toEqual(given)
  })
})

describe('what the specification leaves to the reader', () => {
  const ts = 1_790_000_000_123
  const base = {
    eventId: 'e',
    userId: 'u',
    itemId: 'i',
    ts,
    playId: 'p',
    watchedMs: 1000,
    consent: 'full',
  }
  const decodeOne = async (writer: Schema, record: object) => {
    const [{ bytes }] = write(writer, [record])
    return (await decoderOf('events', writer)).decode(framed(bytes))
  }

  it("takes a writer's other namespace by the unqualified name", async () => {
    const writer = edited('Watch', schema => {
      schema.namespace = 'com.example.tracking.v2'
    })
    expect(await decodeOne(writer, { ...base, endReason: 'finished' })).toMatchObject({
      kind: 'watch',
      record: { ...base, endReason: 'finished' },
    })
  })

  it.each([
    ['micros', ts * 1000 + 999],
    ['nanos', ts * 1_000_000],
  ])('scales timestamp-%s to millis, rounding to the past', async (unit, value) => {
    const type = { type: 'long', logicalType: `timestamp-${unit}` }
    const writer = edited('Watch', retype('ts', type))
    expect(await decodeOne(writer, { ...base, ts: value })).toMatchObject({ record: { ts } })
  })

  it('scales micros in a union too', async () => {
    const writer = edited(
      'Item',
      retype('expiresAt', ['null', { type: 'long', logicalType: 'timestamp-micros' }]),
    )
    const [{ bytes }] = write(writer, [{ itemId: 'i', expiresAt: ts * 1000 }])
    const decoder = await decoderOf('items', writer)
    expect(decoder.decode(framed(bytes))).toMatchObject({ record: { expiresAt: ts } })
  })

  it('reads a symbol newer than the reader as the default symbol', async () => {
    const writer = edited('Watch', schema => {
      for (const field of schema.fields) {
        const type = field.type as { name?: string; symbols: string[] }
        if (type.name === 'EndReason') type.symbols = ['crashed', ...type.symbols]
        if (type.name === 'Consent') type.symbols = ['full', 'household', 'contextual', 'none']
      }
    })
    const record = { ...base, endReason: 'crashed', consent: 'household' }
    expect(await decodeOne(writer, record)).toMatchObject({
      record: { endReason: 'none', consent: 'none' },
    })
    expect(
      await decodeOne(writer, { ...record, endReason: 'left', consent: 'full' }),
    ).toMatchObject({
      record: { endReason: 'left', consent: 'full' },
    })
  })

  it.each([2 ** 53, -(2 ** 53), 2 ** 62])('refuses %d, which is beyond 2^53', async value => {
    expect(await decodeOne(schemaOf('Watch'), { ...base, durationMs: value })).toEqual({
      bad: 'FIELD_INVALID',
      message: 'schema 7: a number is beyond 2^53',
    })
  })

  it('refuses null where we have none, for that record only', async () => {
    const writer = edited('Watch', retype('playId', ['null', 'string']))
    expect(await decodeOne(writer, base)).toMatchObject({ record: { playId: 'p' } })
    expect(await decodeOne(writer, { ...base, playId: null })).toEqual({
      bad: 'SCHEMA_INCOMPATIBLE',
      message: 'schema 7: Watch.playId is written as null and cannot be read as string',
    })
  })
})
