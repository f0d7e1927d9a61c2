/** The decoder's invariants, the life of a schema id, and what Avro values may do to it. fastavro.test.ts has the oracle. */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../streams/clock.ts'
import { feedbacks, impressions, items, watches } from '../test/support/records.ts'
import {
  Decoder,
  definitions,
  Encoder,
  type RecordDrafts,
  SchemaRegistry,
  type SchemaSource,
} from './index.ts'
import type { FoundSchema } from './registry.ts'

const ts = 1_790_000_000_000
const base = { eventId: 'e1', userId: 'u1', itemId: 'i1', ts, consent: 'full' } as const
const registry = new SchemaRegistry({ url: 'mock://decode' })
let encoder: Encoder
beforeAll(async () => {
  encoder = await Encoder.open(registry, 'freshet.')
})

/** A source with one schema: the framing's id is always 1. */
function only(schema: unknown, type = 'AVRO', references: string[] = []): SchemaSource {
  const text = typeof schema === 'string' ? schema : JSON.stringify(schema)
  return { find: async (): Promise<FoundSchema> => ({ type, text, references }) }
}

function framed(payload: Uint8Array, id = 1): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0, 0, id]), payload])
}

async function ready<T extends 'events' | 'items'>(topic: T, source: SchemaSource = registry) {
  const decoder = new Decoder(topic, source)
  for (let id = 1; id <= 4; id++) await decoder.resolve(id)
  return decoder
}

describe('round trip', () => {
  it('gives back every impression, watch, feedback and item as it was', async () => {
    const [events, catalog] = [await ready('events'), await ready('items')]
    const check = <N extends 'Impression' | 'Watch' | 'Feedback'>(
      name: N,
      records: fc.Arbitrary<RecordDrafts[N]>,
    ) =>
      fc.assert(
        fc.property(records, record => {
          expect(events.decode(encoder.encode(name, record))).toEqual({
            kind: name.toLowerCase(),
            record,
          })
        }),
      )
    check('Impression', impressions)
    check('Watch', watches)
    check('Feedback', feedbacks)
    fc.assert(
      fc.property(items, record => {
        expect(catalog.decode(encoder.encode('Item', record))).toEqual({ kind: 'item', record })
      }),
    )
  })

  it('fills what was left out with the defaults', async () => {
    const decoder = await ready('events')
    expect(decoder.decode(encoder.encode('Impression', base))).toEqual({
      kind: 'impression',
      record: {
        ...base,
        requestId: '',
        position: 0,
        slateSize: 0,
        surface: 'home',
        cohort: '',
        context: {},
        policy: '',
        modelVersion: '',
        listVersion: null,
        listIndex: null,
        candidateSource: 'other',
        score: null,
        propensity: null,
        explore: false,
        experiments: {},
      },
    })
  })

  it('names the field that cannot be encoded', () => {
    const wrong = { ...base, position: 1.5 }
    expect(() => encoder.encode('Impression', wrong)).toThrow(/Impression.*position: 1.5/)
  })

  it('encodes records larger than its buffer', async () => {
    const decoder = await ready('events')
    const record = { ...base, context: { long: 'ü'.repeat(50_000) } }
    expect(decoder.decode(encoder.encode('Impression', record))).toMatchObject({ record })
  })
})

describe('a schema id', () => {
  const value = () => encoder.encode('Watch', { ...base, playId: 'p', watchedMs: 1 })

  it('is asked for once, however many wait', async () => {
    let asked = 0
    const decoder = new Decoder('events', {
      find: id => {
        asked++
        return registry.find(id)
      },
    })
    expect(decoder.decode(value())).toEqual({ needs: 2 })
    await Promise.all([decoder.resolve(2), decoder.resolve(2)])
    expect(decoder.decode(value())).toMatchObject({ kind: 'watch' })
    expect(asked).toBe(1)
    expect(decoder.waiting()).toBeNull()
  })

  it('that the registry does not know makes dead letters, and is asked for again later', async () => {
    const clock = { ...systemClock, now: () => now, sleep: async () => undefined }
    let now = 0
    let found: FoundSchema | null = null
    const decoder = new Decoder('events', { find: async () => found }, clock)
    await decoder.resolve(2)
    expect(decoder.decode(value())).toEqual({
      bad: 'SCHEMA_UNKNOWN',
      message: 'the schema registry has no schema 2',
    })
    now = 30_000
    found = { type: 'AVRO', text: definitions.Watch, references: [] }
    expect(decoder.decode(value())).toEqual({ needs: 2 })
    await decoder.resolve(2)
    expect(decoder.decode(value())).toMatchObject({ kind: 'watch' })
  })

  it('waits while the registry does not answer: never a dead letter', async () => {
    const waits: (string | null)[] = []
    let failures = 3
    const decoder = new Decoder(
      'events',
      {
        find: async id => {
          if (failures-- > 0) throw new Error('nobody there')
          return registry.find(id)
        },
      },
      {
        ...systemClock,
        now: () => ts,
        sleep: async () => {
          waits.push(decoder.waiting())
        },
      },
    )
    await decoder.resolve(2)
    expect(waits).toEqual(
      Array(3).fill(`waiting for schema 2 since ${new Date(ts).toISOString()}: nobody there`),
    )
    expect(decoder.waiting()).toBeNull()
    expect(decoder.decode(value())).toMatchObject({ kind: 'watch' })
  })

  it('stops waiting when told to', async () => {
    const stop = new AbortController()
    const decoder = new Decoder(
      'events',
      { find: () => Promise.reject(new Error('away')) },
      { ...systemClock, now: () => ts, sleep: async () => stop.abort(new Error('closing')) },
    )
    await expect(decoder.resolve(2, stop.signal)).rejects.toThrow('closing')
  })

  it.each([
    ['of another kind of schema', only('{}', 'JSON'), 'schema 1 is JSON; freshet reads AVRO'],
    [
      'of a record that is not ours',
      only({ type: 'record', name: 'a.Click', fields: [] }),
      'schema 1 is a.Click; on this topic freshet reads Impression, Watch, Feedback',
    ],
    [
      'of a record of another topic',
      only(definitions.Item),
      'schema 1 is freshet.Item; on this topic freshet reads Impression, Watch, Feedback',
    ],
    ['of a schema that is none', only('{"type":"rec'), 'schema 1: the schema is not JSON'],
    [
      'of a schema that lacks what we need',
      only({ type: 'record', name: 'Watch', fields: [{ name: 'userId', type: 'string' }] }),
      'schema 1: the schema Watch has no field eventId, which is required',
    ],
    [
      'of a field with another type',
      only(
        definitions.Watch.replace(
          '"name":"playId","type":"string"',
          '"name":"playId","type":"long"',
        ),
      ),
      'schema 1: Watch.playId is written as long and cannot be read as string',
    ],
    [
      'of a time in days',
      only(
        definitions.Watch.replace(
          '"type":"long","logicalType":"timestamp-millis"',
          '"type":"int","logicalType":"date"',
        ),
      ),
      'schema 1: Watch.ts is written as int (date) and cannot be read as long (timestamp-millis)',
    ],
  ])('%s is SCHEMA_INCOMPATIBLE, and says why', async (_, source, message) => {
    const decoder = new Decoder('events', source)
    await decoder.resolve(1)
    expect(decoder.decode(framed(Buffer.from([2, 0x61])))).toEqual({
      bad: 'SCHEMA_INCOMPATIBLE',
      message,
    })
  })

  it('of a union of our records reads each, also through references', async () => {
    const source = only('["freshet.Watch", "string", "freshet.Feedback"]', 'AVRO', [
      definitions.Watch,
      definitions.Feedback.replace(
        /\{"type":"enum","name":"Consent".*?"default":"none"\}/,
        '"Consent"',
      ),
    ])
    const decoder = await ready('events', source)
    const payload = encoder.encode('Feedback', { ...base, kind: 'like' }).subarray(5)
    expect(decoder.decode(framed(Buffer.concat([Buffer.from([4]), payload])))).toMatchObject({
      kind: 'feedback',
      record: { kind: 'like' },
    })
    expect(decoder.decode(framed(Buffer.from([2, 0])))).toMatchObject({
      bad: 'SCHEMA_INCOMPATIBLE',
    })
    expect(decoder.decode(framed(Buffer.from([6, 0])))).toMatchObject({ bad: 'DECODE_FAILED' })
  })
})

describe('garbage', () => {
  /** A writer with everything that a reader can skip. */
  const node = { type: 'record', name: 'Node', fields: [{ name: 'next', type: ['null', 'Node'] }] }
  const extras = [
    { name: 'nulls', type: { type: 'array', items: 'null' } },
    { name: 'grid', type: { type: 'array', items: { type: 'array', items: 'null' } } },
    { name: 'node', type: node },
    { name: 'tags', type: { type: 'map', values: ['string', 'double'] } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 4 } },
  ]
  const watch = JSON.parse(definitions.Watch)
  const withExtras = { ...watch, fields: [...extras, ...watch.fields] }

  it('of any bytes is an answer, never an exception', async () => {
    const decoders = [await ready('events'), await ready('events', only(withExtras))]
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map(bytes => framed(bytes)),
      fc.tuple(impressions, fc.nat(), fc.nat(255), fc.nat()).map(([record, at, byte, length]) => {
        const bytes = encoder.encode('Impression', record)
        bytes[5 + (at % (bytes.length - 5))] = byte
        return bytes.subarray(0, length % 4 === 0 ? 5 + (length % bytes.length) : bytes.length)
      }),
      fc.string().map(text => Buffer.from(`{${text}`)),
    )
    fc.assert(
      fc.property(value, bytes => {
        for (const decoder of decoders) {
          const decoded = decoder.decode(Buffer.from(bytes))
          expect('record' in decoded || 'bad' in decoded || 'needs' in decoded).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('cannot announce more than there are bytes for', async () => {
    const huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]
    const item = await ready('items', only(definitions.Item))
    // itemId, title, creatorId empty, then a billion billion topics
    expect(item.decode(framed(Buffer.from([0, 0, 0, ...huge])))).toMatchObject({
      bad: 'DECODE_FAILED',
      message: expect.stringMatching(/a block of \d{15,} entries/),
    })
    const events = await ready('events', only(withExtras))
    // that many nulls take no bytes: they are not counted out; then as many arrays of them
    const grid = Array(1000).fill(huge).flat()
    expect(events.decode(framed(Buffer.from([...huge, 0, ...grid])))).toHaveProperty('bad')
    // a linked list as long as the value
    const list = Buffer.concat([Buffer.from([0, 0]), Buffer.alloc(100_000, 2)])
    expect(events.decode(framed(list))).toMatchObject({
      message: expect.stringContaining('nest deeper'),
    })
  })

  it('in a text is no text: two broken ids do not become one', async () => {
    const decoder = await ready('events')
    const value = encoder.encode('Watch', { ...base, eventId: 'xy', playId: 'p', watchedMs: 1 })
    value[value.indexOf('xy')] = 0xff
    expect(decoder.decode(value)).toEqual({
      bad: 'DECODE_FAILED',
      message: 'schema 2: a text is not UTF-8',
    })
  })

  it('is told by what it starts with', async () => {
    const [events, catalog] = [await ready('events'), await ready('items')]
    const message = (decoded: object) => (decoded as { message: string }).message
    expect(message(events.decode(null as never))).toBe('the record has no value')
    expect(message(events.decode(Buffer.from([0, 1])))).toBe('2 bytes are no framed value')
    expect(message(events.decode(Buffer.from('hi')))).toMatch(/starts with byte 104: .* nor JSON$/)
    expect(message(catalog.decode(Buffer.from('{}')))).toMatch(/neither .*Avro\)$/)
    const trailing = Buffer.concat([encoder.encode('Item', { itemId: 'i' }), Buffer.from([0])])
    expect(message(catalog.decode(trailing))).toBe('schema 4: 1 bytes are left over')
  })
})

describe('fields', () => {
  const watch = { ...base, playId: 'p', watchedMs: 1 }
  const at = (edit: Partial<RecordDrafts['Watch']>) =>
    encoder.encode('Watch', { ...watch, ...edit })
  const shown = (edit: Partial<RecordDrafts['Impression']>) =>
    encoder.encode('Impression', { ...base, ...edit })

  it.each<[string, () => Buffer]>([
    ['eventId takes 1 to 256 bytes, got none', () => at({ eventId: '' })],
    ['playId takes 1 to 256 bytes, got 257 bytes', () => at({ playId: 'x'.repeat(257) })],
    ['userId takes 1 to 256 bytes, got 258 bytes', () => at({ userId: 'ü'.repeat(129) })],
    ['ts takes ms since 1970, from the year 2000 on, got -1', () => at({ ts: -1 })],
    [
      'ts takes ms since 1970, from the year 2000 on, got 946684799999',
      () => at({ ts: 946_684_799_999 }),
    ],
    ['watchedMs takes from 0 to 24 hours of milliseconds, got -1', () => at({ watchedMs: -1 })],
    [
      'watchedMs takes from 0 to 24 hours of milliseconds, got 86400001',
      () => at({ watchedMs: 86_400_001 }),
    ],
    ['durationMs takes 0 or more, got -5', () => at({ durationMs: -5 })],
    ['propensity takes null or above 0 and at most 1, got 0', () => shown({ propensity: 0 })],
    ['propensity takes null or above 0 and at most 1, got 1.01', () => shown({ propensity: 1.01 })],
    [
      'propensity takes null or above 0 and at most 1, got NaN',
      () => shown({ propensity: Number.NaN }),
    ],
    [
      'score takes a number within 2^53, got Infinity',
      () => shown({ score: Number.POSITIVE_INFINITY }),
    ],
    ['position takes 0 or more, got -1', () => shown({ position: -1 })],
    [
      'value takes a number within 2^53, got 1e+300',
      () => encoder.encode('Feedback', { ...base, value: 1e300 }),
    ],
  ])('%s', async (message, make) => {
    const decoder = await ready('events')
    expect(decoder.decode(make())).toEqual({ bad: 'FIELD_INVALID', message })
  })

  it('at their limits are taken', async () => {
    const decoder = await ready('events')
    for (const value of [
      at({
        ts: 946_684_800_000,
        watchedMs: 86_400_000,
        playId: 'x'.repeat(256),
        eventId: 'ü'.repeat(128),
      }),
      at({ watchedMs: 0, durationMs: Number.MAX_SAFE_INTEGER - 1, requestId: null }),
      shown({ propensity: 1, score: 0 }),
      shown({ propensity: Number.MIN_VALUE }),
    ])
      expect(decoder.decode(value)).toHaveProperty('record')
  })
})
