/**
 * What producers get wrong, end to end: each bad record goes to the dead letters as it came, with its reason, and what
 * stands around it in the same batch is taken in. And what they may do: other Avro writers, other clients.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runPython } from '../support/python.ts'
import { answerOf, endRuns, Run } from './command.ts'
import {
  asLongs,
  avro,
  type Bad,
  DEAD_LETTER_BYTES,
  framed,
  json,
  keyOn,
  MEGABYTE,
  type Message,
  MINUTE_MS,
  NOW,
  PARTITIONS,
  PATIENCE_MS,
  partitionOf,
  register,
  text,
  watch,
  without,
  written,
} from './producers.ts'
import { type DeadLetter, eventually, Setting } from './setting.ts'

describe('what producers get wrong', () => {
  let setting: Setting
  let run: Run
  let schemaIds: { watch: number; item: number; textual: number }

  beforeAll(async () => {
    setting = await Setting.open()
    await answerOf(setting, 'topics', 'create', '--topics.partitions', String(PARTITIONS))
    // as an operator might have set it
    await setting.admin.alterConfigs({
      validateOnly: false,
      resources: ['events', 'items'].map(name => ({
        type: 2,
        name: setting.topic(name),
        configEntries: [{ name: 'max.message.bytes', value: String(16 * MEGABYTE) }],
      })),
    })
    const textual = avro('Watch').replace(
      '{"name": "watchedMs", "type": "long"',
      '{"name": "watchedMs", "type": "string"',
    )
    schemaIds = {
      watch: await register(setting, 'team-a', avro('Watch')),
      item: await register(setting, 'team-b', avro('Item')),
      textual: await register(setting, 'team-c', textual),
    }
    run = await new Run(setting).ready()
  }, 300_000)

  afterAll(async () => {
    await endRuns()
    await setting?.close()
  })

  /** Sends each bad record between two good ones, in one batch; gives where the bad ones stand. */
  async function sendAmong(
    topic: string,
    partition: number,
    bad: readonly Bad[],
    good: (i: number) => Omit<Message, 'partition'>,
  ): Promise<Map<string, Bad>> {
    const messages: Message[] = []
    const places: number[] = []
    for (const [i, [, , key, value]] of bad.entries()) {
      messages.push({ partition, ...good(i) })
      places.push(messages.length)
      messages.push({ partition, key, value })
    }
    messages.push({ partition, ...good(bad.length) })
    const [{ baseOffset }] = await setting.producer.send({ topic: setting.topic(topic), messages })
    return new Map(places.map((place, i) => [String(Number(baseOffset) + place), bad[i]]))
  }

  function expectLetters(
    topic: string,
    partition: number,
    letters: readonly DeadLetter[],
    expected: ReadonlyMap<string, Bad>,
  ): void {
    const own = letters.filter(
      ({ headers }) =>
        headers.topic === setting.topic(topic) && headers.partition === String(partition),
    )
    const found = own.map(({ headers }) => {
      const [what, codes] = expected.get(headers.offset) ?? [`offset ${headers.offset}`, /^$/]
      return codes.test(headers.code) ? what : `${what}: ${headers.code} ${headers.message}`
    })
    expect(found).toEqual([...expected.values()].map(([what]) => what))
    for (const { headers, key, value } of own) {
      const [what, , badKey, badValue] = expected.get(headers.offset) as Bad
      expect(value?.length, `value of ${what}`).toBe(
        badValue?.subarray(0, DEAD_LETTER_BYTES).length,
      )
      expect(value?.equals(badValue?.subarray(0, DEAD_LETTER_BYTES) ?? text('')), what).not.toBe(
        false,
      )
      expect(key?.length, `key of ${what}`).toBe(badKey?.subarray(0, DEAD_LETTER_BYTES).length)
      expect(key?.equals(badKey?.subarray(0, DEAD_LETTER_BYTES) ?? text('')), what).not.toBe(false)
      expect(headers.message.length, `the sentence for ${what}`).toBeGreaterThan(10)
      expect(headers.topology).not.toBe('')
      expect(Math.abs(Date.parse(headers.time) - Date.now())).toBeLessThan(60 * MINUTE_MS)
    }
  }

  it('events: each goes to the dead letters, and those beside it are counted', async () => {
    const user = keyOn(1, 'user')
    const elsewhere = keyOn(2, 'user')
    const key = text(user)
    const tooLongId = 'x'.repeat(257)
    const [wellFormed] = written(asLongs(avro('Watch')), [
      { ...without(watch(user), 'type'), requestId: null },
    ])
    const [textual] = written(
      asLongs(avro('Watch')).replace(
        '"name":"watchedMs","type":"long"',
        '"name":"watchedMs","type":"string"',
      ),
      [{ ...without(watch(user), 'type'), watchedMs: '40000' }],
    )
    const [item] = written(asLongs(avro('Item')), [{ itemId: user }])
    const impression = { ...watch(user), type: 'impression' }
    const bad: Bad[] = [
      ['garbage', /^DECODE_FAILED$/, key, Buffer.from([0xff, 0x12, 0x99, 0x00, 0x01])],
      ['plain text', /^DECODE_FAILED$/, key, text('hello')],
      ['four bytes', /^DECODE_FAILED$/, key, Buffer.from([0, 0, 0, 0])],
      ['no value', /^DECODE_FAILED$/, key, null],
      ['an unknown schema id', /^SCHEMA_UNKNOWN$/, key, framed(987_654, wellFormed)],
      [
        'half a record',
        /^DECODE_FAILED$/,
        key,
        framed(schemaIds.watch, wellFormed.subarray(0, 20)),
      ],
      [
        'bytes left over',
        /^DECODE_FAILED$/,
        key,
        framed(schemaIds.watch, Buffer.concat([wellFormed, key])),
      ],
      ['a record of another topic', /^SCHEMA_INCOMPATIBLE$/, key, framed(schemaIds.item, item)],
      ['a field of another type', /^SCHEMA_INCOMPATIBLE$/, key, framed(schemaIds.textual, textual)],
      ['half of JSON', /^JSON_INVALID$/, key, text('{"type":"watch","eventId":')],
      ['JSON of no known type', /^FIELD_INVALID$/, key, json(watch(user, { type: 'purchase' }))],
      ['JSON without its type', /^FIELD_MISSING$/, key, json(without(watch(user), 'type'))],
      ['JSON without playId', /^FIELD_MISSING$/, key, json(without(watch(user), 'playId'))],
      ['JSON without consent', /^FIELD_MISSING$/, key, json(without(watch(user), 'consent'))],
      ['a text for a number', /^FIELD_INVALID$/, key, json(watch(user, { watchedMs: '40000' }))],
      ['a negative time', /^FIELD_INVALID$/, key, json(watch(user, { ts: -1 }))],
      ['a time in seconds', /^FIELD_INVALID$/, key, json(watch(user, { ts: NOW / 1000 }))],
      [
        'a time before 2000',
        /^FIELD_INVALID$/,
        key,
        json(watch(user, { ts: '1999-12-31T23:59:59Z' })),
      ],
      ['negative watchedMs', /^FIELD_INVALID$/, key, json(watch(user, { watchedMs: -5 }))],
      ['negative durationMs', /^FIELD_INVALID$/, key, json(watch(user, { durationMs: -1 }))],
      ['watched over 24 h', /^FIELD_INVALID$/, key, json(watch(user, { watchedMs: 86_400_001 }))],
      [
        'a number beyond 2^53',
        /^FIELD_INVALID$/,
        key,
        text(JSON.stringify(watch(user)).replace('60000', '9007199254740993')),
      ],
      ['an empty id', /^FIELD_INVALID$/, key, json(watch(user, { itemId: '' }))],
      ['an id of 257 bytes', /^FIELD_INVALID$/, key, json(watch(user, { itemId: tooLongId }))],
      ['propensity 0', /^FIELD_INVALID$/, key, json({ ...impression, propensity: 0 })],
      ['propensity 1.5', /^FIELD_INVALID$/, key, json({ ...impression, propensity: 1.5 })],
      ['an empty key', /^KEY_MISSING$/, text(''), json(watch(user))],
      ['no key', /^KEY_MISSING$/, null, json(watch(user))],
      [
        'a framed key',
        /^KEY_FRAMED$/,
        framed(1, Buffer.concat([Buffer.from([2 * user.length]), key])),
        json(watch(user)),
      ],
      ['a key that is another user', /^KEY_MISMATCH$/, text('somebody'), json(watch(user))],
      ['the wrong partition', /^PARTITION_MISMATCH$/, text(elsewhere), json(watch(elsewhere))],
      [
        '2 MB',
        /^VALUE_TOO_LARGE$/,
        key,
        json(watch(user, { context: { page: 'x'.repeat(2 * MEGABYTE) } })),
      ],
      [
        'a key of 10 MB',
        /^(VALUE_TOO_LARGE|FIELD_INVALID)$/,
        Buffer.alloc(10 * MEGABYTE, 'k'),
        json(watch(user)),
      ],
    ]
    const expected = await sendAmong('events', 1, bad, () => ({ key, value: json(watch(user)) }))
    await eventually(async () => {
      const session = await setting.redis.hgetall(setting.key(`session:${user}`))
      expect(Number(session.watches)).toBe(bad.length + 1)
    }, PATIENCE_MS)
    await eventually(
      async () => expectLetters('events', 1, await setting.deadLetters(), expected),
      PATIENCE_MS,
    )
    const metrics = await run.metrics()
    expect(metrics).toMatch(/^freshet_dead_letters_total\{[^}]*reason="KEY_FRAMED"[^}]*\} 1$/m)
  }, 240_000)

  it('items: each goes to the dead letters, and those beside it are taken in', async () => {
    const item = keyOn(3, 'film')
    const key = text(item)
    const withdrawn = Array.from({ length: 40 }, (_, i) => keyOn(3, `gone-${i}-`))
    const [wellFormed, negative, other] = written(asLongs(avro('Item')), [
      { itemId: item },
      { itemId: item, publishedAt: -1 },
      { itemId: 'another' },
    ])
    const [wrongKind] = written(asLongs(avro('Watch')), [
      { ...without(watch(item), 'type'), requestId: null },
    ])
    const right = framed(schemaIds.item, wellFormed)
    const elsewhere = text(keyOn(0, 'film'))
    const bad: Bad[] = [
      ['garbage', /^DECODE_FAILED$/, key, Buffer.from([1, 2, 3])],
      ['JSON, which items do not take', /^DECODE_FAILED$/, key, json({ itemId: item })],
      ['an unknown schema id', /^SCHEMA_UNKNOWN$/, key, framed(987_655, wellFormed)],
      ['half a record', /^DECODE_FAILED$/, key, right.subarray(0, right.length - 3)],
      [
        'a record of another topic',
        /^SCHEMA_INCOMPATIBLE$/,
        key,
        framed(schemaIds.watch, wrongKind),
      ],
      ['a negative time', /^FIELD_INVALID$/, key, framed(schemaIds.item, negative)],
      ['an empty key', /^KEY_MISSING$/, text(''), right],
      [
        'a framed key',
        /^KEY_FRAMED$/,
        framed(1, Buffer.concat([Buffer.from([2 * item.length]), key])),
        right,
      ],
      ['a key that is another item', /^KEY_MISMATCH$/, key, framed(schemaIds.item, other)],
      ['the wrong partition', /^PARTITION_MISMATCH$/, elsewhere, right],
      ['2 MB', /^VALUE_TOO_LARGE$/, key, framed(schemaIds.item, Buffer.alloc(2 * MEGABYTE))],
      ['a key of 1 MB', /^(VALUE_TOO_LARGE|FIELD_INVALID)$/, Buffer.alloc(MEGABYTE, 'k'), right],
    ]
    const expected = await sendAmong('items', 3, bad, i => ({
      key: text(withdrawn[i]),
      value: null,
    }))
    await eventually(async () => {
      const blocked = await setting.scores('blocked')
      expect([...blocked.keys()].sort()).toEqual(withdrawn.slice(0, bad.length + 1).sort())
    }, PATIENCE_MS)
    await eventually(
      async () => expectLetters('items', 3, await setting.deadLetters(), expected),
      PATIENCE_MS,
    )
  }, 240_000)

  it("other producers' Avro is read rightly: older, newer, other namespace, micros, unknown symbols", async () => {
    const ours = JSON.parse(asLongs(avro('Watch'))) as { fields: { name: string }[] }
    const required = 'eventId userId itemId ts playId watchedMs consent'.split(' ')
    const older = { ...ours, fields: ours.fields.filter(({ name }) => required.includes(name)) }
    const newer = {
      ...ours,
      namespace: 'com.example.shop.v9',
      fields: [
        { name: 'abTest', type: ['null', 'string'], default: null },
        ...ours.fields.map(field =>
          field.name === 'ts'
            ? { name: 'ts', type: { type: 'long', logicalType: 'timestamp-micros' } }
            : field.name === 'endReason'
              ? {
                  name: 'endReason',
                  type: {
                    type: 'enum',
                    name: 'EndReason',
                    symbols: ['paused', 'none', 'finished', 'skipped', 'left'],
                    default: 'none',
                  },
                  default: 'none',
                }
              : field,
        ),
        { name: 'tags', type: { type: 'array', items: 'string' }, default: [] },
      ],
    }
    const at = NOW - 20 * MINUTE_MS
    const event = (userId: string, n: number): Record<string, unknown> => ({
      eventId: `${userId}-${n}`,
      userId,
      itemId: `avro-${n}`,
      ts: at + n * 1000,
      playId: `${userId}-play-${n}`,
      watchedMs: 31_000,
      durationMs: 60_000,
      consent: 'full',
    })
    const [olderBytes] = written(JSON.stringify(older), [event('older', 1)])
    const newerBytes = written(asLongs(JSON.stringify(newer)), [
      { ...event('newer', 1), ts: (at + 1000) * 1000 + 999, endReason: 'finished', abTest: 'b' },
      { ...event('newer', 2), ts: (at + 2000) * 1000, endReason: 'paused', tags: ['x', 'y'] },
    ])
    const olderId = await register(setting, 'older-value', JSON.stringify(older))
    const newerId = await register(setting, 'newer-value', JSON.stringify(newer))
    await setting.producer.send({
      topic: setting.topic('events'),
      messages: [
        { key: 'older', value: framed(olderId, olderBytes) },
        ...newerBytes.map(bytes => ({ key: 'newer', value: framed(newerId, bytes) })),
      ],
    })
    const common = { impressions: '0', skips: '0' }
    await eventually(async () => {
      expect(await setting.redis.hgetall(setting.key('session:older'))).toMatchObject({
        ...common,
        started_at: String(at + 1000),
        last_event_at: String(at + 1000),
        watches: '1',
        positives: '1',
        watched_ms: '31000',
        completes: '0',
        last_items: '["avro-1"]',
      })
      expect(await setting.redis.hgetall(setting.key('session:newer'))).toMatchObject({
        ...common,
        started_at: String(at + 1000),
        last_event_at: String(at + 2000),
        watches: '2',
        positives: '2',
        watched_ms: '62000',
        completes: '1',
        last_items: '["avro-2","avro-1"]',
      })
    }, PATIENCE_MS)
  }, 240_000)

  it('librdkafka with its default partitioner is named as such; with murmur2_random all is taken', async () => {
    const users = (prefix: string): string[] =>
      Array.from({ length: 24 }, (_, i) => `${prefix}${i}`)
    const records = (prefix: string): [string, string][] =>
      users(prefix).map(user => [user, JSON.stringify(watch(user))])
    const script = `
import json, sys
from confluent_kafka import Producer
given = json.load(sys.stdin)
for conf, records in given['sends']:
    producer = Producer({'bootstrap.servers': given['brokers'], **conf})
    for key, value in records:
        producer.produce(given['topic'], key=key.encode(), value=value.encode())
    producer.flush()
json.dump('done', sys.stdout)
`
    const sends = [
      [{}, records('crc')],
      [{ partitioner: 'murmur2_random' }, records('murmur')],
    ]
    runPython(script, { brokers: setting.brokers, topic: setting.topic('events'), sends }, [
      'confluent-kafka==2.12.2',
    ])
    await eventually(async () => {
      const letters = (await setting.deadLetters()).filter(({ key }) =>
        /^(crc|murmur)/.test(String(key)),
      )
      const sessions = (await setting.redisKeys()).map(key => key.replace('session:', ''))
      const misplaced = letters.map(({ key }) => String(key))
      expect(misplaced.filter(key => key.startsWith('murmur'))).toEqual([])
      expect(sessions).toEqual(expect.arrayContaining(users('murmur')))
      // every one is either taken or named
      const taken = sessions.filter(key => key.startsWith('crc'))
      expect([...misplaced, ...taken].sort()).toEqual(users('crc').sort())
      expect(misplaced.length, 'crc32 and murmur2 differ on most keys').toBeGreaterThan(8)
      for (const { key, headers } of letters) {
        expect(headers.code).toBe('PARTITION_MISMATCH')
        expect(headers.message).toContain('murmur2_random')
        expect(headers.message).toContain(`partition ${partitionOf(String(key))} `)
      }
    }, PATIENCE_MS)
  }, 240_000)
})
