import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { feedbacks, impressions, watches } from '../test/support/records.ts'
import { Decoder, isoTime } from './index.ts'

const decoder = new Decoder('events', { find: async () => null })
const decode = (value: unknown) =>
  decoder.decode(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))

const ts = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const watch = {
  type: 'watch',
  eventId: 'e',
  userId: 'u',
  itemId: 'i',
  ts,
  playId: 'p',
  watchedMs: 1000,
  consent: 'full',
}

describe('an event as JSON', () => {
  it('is the record, whatever it holds', () => {
    for (const [type, records] of [
      ['impression', impressions],
      ['watch', watches],
      ['feedback', feedbacks],
    ] as const)
      fc.assert(
        fc.property(records as fc.Arbitrary<object>, record => {
          expect(decode({ type, ...record })).toEqual({ kind: type, record })
        }),
      )
  })

  it('takes defaults for what is absent and ignores what is unknown', () => {
    expect(decode({ ...watch, colour: 'red', seq: undefined })).toEqual({
      kind: 'watch',
      record: {
        eventId: 'e',
        userId: 'u',
        itemId: 'i',
        ts,
        requestId: null,
        playId: 'p',
        seq: 0,
        watchedMs: 1000,
        durationMs: 0,
        surface: 'home',
        cohort: '',
        context: {},
        experiments: {},
        consent: 'full',
        endReason: 'none',
      },
    })
  })

  it('takes a symbol newer than the reader as the default one', () => {
    expect(decode({ ...watch, endReason: 'crashed' })).toMatchObject({
      record: { endReason: 'none' },
    })
  })

  it.each([
    ['{', 'JSON_INVALID', /starts with \{ and is not JSON/],
    ['{"a":1}x', 'JSON_INVALID', /is not JSON/],
    [{ eventId: 'e' }, 'FIELD_MISSING', /^type is missing/],
    [{ ...watch, playId: undefined }, 'FIELD_MISSING', /^playId is missing$/],
    [{ ...watch, consent: undefined }, 'FIELD_MISSING', /^consent is missing$/],
    [
      { ...watch, type: 'click' },
      'FIELD_INVALID',
      /^type takes impression, watch or feedback, got "click"$/,
    ],
    [{ ...watch, type: 'constructor' }, 'FIELD_INVALID', /^type takes/],
    [{ ...watch, userId: 7 }, 'FIELD_INVALID', /^userId takes a string, got 7$/],
    [{ ...watch, userId: '\ud800' }, 'FIELD_INVALID', /^userId takes/],
    [{ ...watch, seq: '1' }, 'FIELD_INVALID', /^seq takes a whole number of 32 bits, got "1"$/],
    [{ ...watch, watchedMs: 1.5 }, 'FIELD_INVALID', /^watchedMs takes a whole number within 2\^53/],
    [{ ...watch, watchedMs: -1 }, 'FIELD_INVALID', /^watchedMs takes from 0/],
    [{ ...watch, durationMs: 2 ** 53 }, 'FIELD_INVALID', /^durationMs takes a whole number within/],
    [
      { ...watch, context: { device: 1 } },
      'FIELD_INVALID',
      /^context takes an object, each value a string, got/,
    ],
    [{ ...watch, surface: null }, 'FIELD_INVALID', /^surface takes a string, got null$/],
    [
      { ...watch, ts: '2026-01-02' },
      'FIELD_INVALID',
      /^ts takes ms since 1970, or ISO-8601 with a zone/,
    ],
    [{ ...watch, ts: 1_000 }, 'FIELD_INVALID', /^ts takes/],
  ])('%j is %s', (value, bad, message) => {
    expect(decode(value)).toEqual({ bad, message: expect.stringMatching(message) })
  })

  it('that is not UTF-8 is no JSON', () => {
    expect(decoder.decode(Buffer.from([0x7b, 0xff, 0x7d]))).toEqual({
      bad: 'JSON_INVALID',
      message: 'the JSON is not UTF-8',
    })
  })
})

describe('ISO-8601', () => {
  it.each([
    ['2026-01-02T03:04:05.678Z', ts],
    ['2026-01-02T03:04:05.678999Z', ts],
    ['2026-01-02t03:04:05,678z', ts],
    ['2026-01-02 04:04:05.678+01:00', ts],
    ['2026-01-01T21:34:05.678-0530', ts],
    ['2026-01-02T03:04:05+00', ts - 678],
    ['2026-01-02T03:04Z', ts - 5678],
    ['2026-01-02T03:04:05.678', undefined],
    ['2026-01-02', undefined],
    ['2026-02-30T00:00:00Z', undefined],
    ['2026-01-02T25:00:00Z', undefined],
    ['yesterday', undefined],
  ])('%s', (text, ms) => {
    expect(isoTime(text)).toBe(ms)
  })

  it('reads every time that JavaScript writes', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }),
        date => {
          expect(isoTime(date.toISOString())).toBe(date.getTime())
        },
      ),
    )
  })
})
