import { describe, expect, it } from 'vitest'
import { Decoder } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import { impression, namedItems, START } from '../../test/support/user-task.ts'
import { createUserDecode } from './decode.ts'

const PARTITIONS = 7
const noSchemas = { find: async () => null }

function decodeOn(partition: number) {
  const items = namedItems()
  return createUserDecode(
    {
      kind: 'user',
      partition,
      partitionsOf: () => PARTITIONS,
      now: () => START,
      table: <T>() => items as T,
      metrics: noMetrics,
      log: silentLogger,
    },
    { events: new Decoder('events', noSchemas), erasures: new Decoder('erasures', noSchemas) },
  )
}

function record(key: Buffer | null, event: object, timestamp = START) {
  const value = Buffer.from(JSON.stringify({ consent: 'full', ...event }))
  return { offset: 5, timestamp, key, value, headers: [] }
}

describe('decoding an event', () => {
  const event = impression('zoë', 'a', START)
  const own = partitionOfText('zoë', PARTITIONS)

  it('gives the event where key, user and partition agree', () => {
    const decoded = decodeOn(own)('events', record(Buffer.from('zoë'), event))
    expect(decoded).toMatchObject({
      ok: { kind: 'impression', userId: 'zoë', ts: START, offset: 5, item: 0, user: null },
    })
  })

  it.each([
    ['KEY_MISSING', null, 'userId as the key'],
    ['KEY_MISSING', Buffer.alloc(0), 'userId as the key'],
    ['KEY_FRAMED', Buffer.from('\0\0\0\0\x09zoë'), 'key serializer'],
    ['KEY_MISMATCH', Buffer.from('zoe'), 'is not the userId'],
    ['KEY_MISMATCH', Buffer.from('zoëx'), 'is not the userId'],
    ['FIELD_INVALID', Buffer.alloc(257, 65), 'key has 257 bytes: it is to be the userId'],
    ['FIELD_INVALID', Buffer.alloc(10_000_000, 65), 'key has 10000000 bytes'],
  ] as const)('%s is said with what to do', (code, key, words) => {
    const decoded = decodeOn(own)('events', record(key, event))
    expect(decoded).toMatchObject({ bad: code, message: expect.stringContaining(words) })
  })

  it('names the client setting of a record on the wrong partition', () => {
    const decoded = decodeOn((own + 1) % PARTITIONS)('events', record(Buffer.from('zoë'), event))
    expect(decoded).toMatchObject({
      bad: 'PARTITION_MISMATCH',
      message: expect.stringContaining('partitioner=murmur2_random'),
    })
  })

  it('refuses a value over 1 MiB and passes on what the decoder refuses', () => {
    const large = { ...record(Buffer.from('zoë'), event), value: Buffer.alloc(1_048_577) }
    expect(decodeOn(own)('events', large)).toMatchObject({ bad: 'VALUE_TOO_LARGE' })
    const garbage = { ...large, value: Buffer.from('garbage') }
    expect(decodeOn(own)('events', garbage)).toMatchObject({ bad: 'DECODE_FAILED' })
  })

  it('sets a ts more than 5 min ahead of the record to the record', () => {
    const ahead = (ms: number) =>
      decodeOn(own)('events', record(Buffer.from('zoë'), { ...event, ts: START + ms }))
    expect(ahead(300_000)).toMatchObject({ ok: { ts: START + 300_000 } })
    expect(ahead(300_001)).toMatchObject({ ok: { ts: START } })
  })
})
