import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { parseCondition } from './expression.ts'
import { parseMap } from './formats.ts'
import { type ImportOptions, importLog } from './import.ts'
import { csvCells, cutRecords } from './lines.ts'
import { formOf, timeMs } from './times.ts'

const dir = mkdtempSync(join(tmpdir(), 'freshet-import-'))
afterAll(() => rmSync(dir, { recursive: true }))

function load(name: string, text: string, options: ImportOptions) {
  writeFileSync(join(dir, name), text)
  const log = importLog(join(dir, name), options)
  return { ...log, all: [...log.records()] }
}

describe('ratings', () => {
  it('makes one watch a row, sorted by time, with the fields of the contract', () => {
    const text = '2::0104257::7::1364690142\n1::1074638::8::1364690141\n1::2::10::1364690142\n'
    const log = load('ratings.dat', text, { format: 'movietweetings' })
    expect(log).toMatchObject({
      events: 3,
      items: 0,
      bad: [],
      times: 'seconds',
      positive: 'rating >= 8',
    })
    expect(log.all.map(({ key }) => key)).toEqual(['1', '2', '1'])
    expect(log.all[0]).toMatchObject({
      topic: 'events',
      kind: 'Watch',
      record: {
        eventId: createHash('sha256').update('ratings.dat\n2').digest('hex'),
        userId: '1',
        itemId: '1074638',
        ts: 1364690141000,
        watchedMs: 100_000,
        durationMs: 100_000,
        endReason: 'finished',
        consent: 'full',
      },
    })
    expect(log.all[1].record).toMatchObject({ watchedMs: 20_300, endReason: 'left' })
    expect(new Set(log.all.map(({ record }) => 'playId' in record && record.playId)).size).toBe(3)
  })

  it('reads the films beside them as items', () => {
    writeFileSync(
      join(dir, 'movies.dat'),
      "0002844::Fantômas - À l'ombre de la guillotine (1913)::Crime|Drama\n7::Seven (1995)::\nbroken\n",
    )
    const log = load('ratings.dat', '1::7::9::1364690142\n', { format: 'movietweetings' })
    rmSync(join(dir, 'movies.dat'))
    expect(log.items).toBe(2)
    expect(log.bad).toEqual([{ file: 'movies.dat', line: 3, reason: 'not id, title and genres' }])
    expect(log.all.slice(0, 2).map(({ record }) => record)).toMatchObject([
      {
        itemId: '0002844',
        topics: ['Crime', 'Drama'],
        publishedAt: 0,
        attributes: { year: '1913' },
      },
      {
        itemId: '7',
        title: 'Seven (1995)',
        topics: [],
        publishedAt: Date.UTC(1995, 0, 1),
        safety: 'ok',
      },
    ])
  })

  it('reports bad lines with number and reason and goes on', () => {
    const text =
      '1::2::8::1364690142\n1::2::8\n\n::2::8::1364690142\n1::2::x::1364690142\n1::2::8::never\n1::2::8::86400\n'
    const log = load('bad.dat', text, { format: 'movietweetings' })
    expect(log.events).toBe(1)
    expect(log.bad.map(({ line, reason }) => `${line} ${reason.split(',')[0]}`)).toEqual([
      '2 4 columns expected',
      '4 userId: 1 to 256 bytes expected',
      '5 the rating is no number',
      '6 ts: a time in seconds expected',
      '7 ts: 1970-01-02T00:00:00.000Z is before 2000',
    ])
  })

  it.each([
    ['ratings.csv', 'userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,32,4.0,1260759145\n'],
    ['ratings.dat', '1::31::2.5::1260759144\n1::32::4::1260759145\n'],
    ['u.data', '1\t31\t2.5\t1260759144\n1\t32\t4\t1260759145\n'],
  ])('reads MovieLens in its form %s', (name, text) => {
    const log = load(name, text, { format: 'movielens' })
    expect(log.all.map(({ record }) => record)).toMatchObject([
      { itemId: '31', watchedMs: 7250, endReason: 'left', ts: 1260759144000 },
      { itemId: '32', watchedMs: 100_000, endReason: 'finished' },
    ])
  })

  it('moves the times of a log from before 2000', () => {
    const years = 10 * 365 * 86_400_000
    const log = load('u.data', '1\t31\t3\t881250949\n', { format: 'movielens', shiftMs: years })
    expect(log.from).toBe(881250949000 + years)
  })
})

describe('what people bring', () => {
  const text = 'user,item,time\nu,i,1700000000\nv,i,1700000001\n'
  const options = { format: 'csv', map: parseMap('userId=user,itemId=item,ts=time') } as const
  const write = (name: string, bytes: string | Buffer) => {
    writeFileSync(join(dir, name), bytes)
    return join(dir, name)
  }

  it('reads gzip, with the ids of the file as it was', () => {
    const packed = [...importLog(write('a.csv.gz', gzipSync(text)), options).records()]
    expect(packed).toEqual(load('a.csv', text, options).all)
  })

  it.each([
    ['UTF-16', Buffer.from(`\ufeff${text}`, 'utf16le'), /is UTF-16 text; UTF-8 text is read/],
    ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 13]), /is no text; UTF-8/],
    ['half a gzip', gzipSync(text).subarray(0, 30), /begins as gzip and can't be unpacked/],
  ])('refuses %s', (_, bytes, says) => {
    expect(() => importLog(write('b.csv', bytes), options)).toThrowError(says)
  })

  it('refuses a folder, a shift and a delimiter that are none', () => {
    expect(() => importLog(dir, options)).toThrowError(/is a folder/)
    const file = write('c.csv', text)
    expect(() => importLog(file, { ...options, shiftMs: Number.NaN })).toThrowError(/--shift takes/)
    expect(() => importLog(file, { ...options, delimiter: '' })).toThrowError(/--delimiter got/)
  })

  it.each([
    ['other delimiters', text.replaceAll(',', ';'), /parted by ";"\? --delimiter says so/],
    ['tabs', text.replaceAll(',', '\t'), /parted by "\\t"\? --delimiter says so/],
    ['no names', text.slice(text.indexOf('\n') + 1), /names no columns.*--map userId=#1/],
    ['other names', text.replace('item', 'article'), /has user, article, time$/],
  ])('says what a csv may need: %s', (_, given, says) => {
    expect(() => load('d.csv', given, options)).toThrowError(says)
  })

  it('says what a ratings.csv of MovieLens has', () => {
    const given = () => load('e.csv', '1,31,2.5,1260759144\n', { format: 'movielens' })
    expect(given).toThrowError(/begins with userId,movieId,rating,timestamp; .* has 1,31,2.5/)
  })

  it('takes a tab as shells give it', () => {
    const tabs = text.replaceAll(',', '\t')
    expect(load('f.csv', tabs, { ...options, delimiter: '\\t' }).events).toBe(2)
  })

  it('a quote within a cell is text; one that is never closed says what it took', () => {
    const inches = load(
      'g.csv',
      'user,item,time\nu,5" disk,1700000000\nv,6" disk,1700000001\n',
      options,
    )
    expect(inches.all.map(({ record }) => record.itemId)).toEqual(['5" disk', '6" disk'])
    const open = load('h.csv', `${text}w,"i,1700000002\nx,i,1700000003\n`, options)
    expect(open.events).toBe(2)
    expect(open.bad).toMatchObject([
      { line: 4, reason: 'a quote is not closed, and takes 1 more with it' },
    ])
  })

  it('ids of any characters are kept; numbers that JSON rounds are refused', () => {
    const odd = ['наука/й', '日本', '😀', '__proto__', 'constructor', 'null', '0', 'a::b']
    const rows = odd.map(item => JSON.stringify({ user: item, item, time: 1700000000 }))
    const log = load('i.jsonl', rows.join('\n'), { ...options, format: 'jsonl' })
    expect(log.all.map(({ record }) => record.itemId)).toEqual(odd)
    const large = `${rows[0]}\n{"user":9007199254740993,"item":1,"time":1700000000}`
    const { bad } = load('j.jsonl', large, { ...options, format: 'jsonl' })
    expect(bad).toMatchObject([{ line: 2, reason: expect.stringMatching(/beyond 2\^53/) }])
  })
})

describe('csv and jsonl', () => {
  it('maps columns to any field, constants and context', () => {
    const text = 'who;what;when;dwell;len;phone\na;x;2024-01-02T03:04:05.678Z;31000;60000;android\n'
    const log = load('plays.csv', text, {
      format: 'csv',
      delimiter: ';',
      map: parseMap(
        "userId=who,itemId=what,ts=when,watchedMs=dwell,durationMs=len,context.device=phone,endReason='left'",
      ),
    })
    expect(log.times).toBe('iso-8601')
    expect(log.all[0].record).toMatchObject({
      ts: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
      watchedMs: 31_000,
      durationMs: 60_000,
      endReason: 'left',
      context: { device: 'android' },
    })
  })

  it('makes impressions and feedback by a type column', () => {
    const text =
      'type,userId,itemId,ts,position,propensity,kind\nimpression,u,i,1700000000000,3,.25,\nfeedback,u,i,1700000001000,,,hide\n'
    const log = load('mixed.csv', text, { format: 'csv' })
    expect(log.times).toBe('milliseconds')
    expect(log.all).toMatchObject([
      { kind: 'Impression', record: { position: 3, propensity: 0.25 } },
      { kind: 'Feedback', record: { kind: 'hide' } },
    ])
  })

  it('takes every row of a log without ratings as positive, and columns by number', () => {
    const log = load('clicks.csv', 's9,u1,i1,1700000000\n', {
      format: 'csv',
      map: parseMap('sessionId=#1,userId=#2,itemId=#3,ts=#4'),
    })
    expect(log.positive).toBe('every row')
    expect(log.all[0].record).toMatchObject({ userId: 'u1', endReason: 'finished' })
    expect('playId' in log.all[0].record && log.all[0].record.playId).toMatch(/^s9\/[0-9a-f]{16}$/)
  })

  it('finds the scale of ratings, and takes a condition over any column', () => {
    const rows =
      '{"userId":1,"itemId":"a","ts":1700000000,"rating":4,"shop":"b"}\n{"userId":1,"itemId":"c","ts":1700000001,"rating":5,"shop":"x"}\n'
    expect(load('r.jsonl', rows, { format: 'jsonl' }).positive).toBe('rating >= 4')
    const log = load('r.jsonl', rows, { format: 'jsonl', positive: "rating > 3 and shop = 'x'" })
    expect(log.all.map(({ record }) => 'endReason' in record && record.endReason)).toEqual([
      'left',
      'finished',
    ])
  })

  it('refuses a wrong map with a sentence', () => {
    const csv = 'a,b\n1,2\n'
    expect(() => load('x.csv', csv, { format: 'csv', map: { userId: 'nobody' } })).toThrowError(
      /column nobody; the file has a, b/,
    )
    expect(() => load('x.csv', csv, { format: 'csv', map: { user: 'a' } })).toThrowError(
      /field user;/,
    )
    expect(() => load('x.csv', csv, { format: 'csv' })).toThrowError(/--map userId=COLUMN/)
    expect(() => importLog(join(dir, 'absent'), { format: 'csv' })).toThrowError(/no file/)
  })
})

describe('parts', () => {
  it('sorts by time and keeps the file order of equal times', () => {
    const rows = fc.array(fc.integer({ min: 1_400_000_000, max: 1_400_000_009 }), {
      minLength: 1,
      maxLength: 60,
    })
    fc.assert(
      fc.property(rows, times => {
        const text = times.map((ts, i) => `u${i}::i::9::${ts}`).join('\n')
        const { all } = load('order.dat', text, { format: 'movietweetings' })
        const wanted = times.map((ts, i) => ({ ts, i })).sort((a, b) => a.ts - b.ts || a.i - b.i)
        expect(all.map(({ key }) => key)).toEqual(wanted.map(({ i }) => `u${i}`))
      }),
      { numRuns: 50 },
    )
  })

  it('reads back any CSV cells that were quoted by the rule', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', ' ', 'é') })
    fc.assert(
      fc.property(
        fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1 }),
        records => {
          const quoted = records.map(cells =>
            cells.map(c => `"${c.replaceAll('"', '""')}"`).join(','),
          )
          const bytes = Buffer.from(quoted.join('\r\n'))
          const { starts, ends } = cutRecords(bytes, true)
          expect(
            starts.map((start, i) => csvCells(bytes.toString('utf8', start, ends[i]), ',')),
          ).toEqual(records)
        },
      ),
    )
  })

  it.each([
    ['rating >= 8', true],
    ['rating>8.5', false],
    ["name = 'x y' and not rating < 3", true],
    ['rating = 8 or missing = 1 and rating = 0', true],
    ['(rating = 8 or rating = 9) and rating != 8', false],
    ['missing >= 0', false],
    ["missing != 'a'", true],
    ['-1 < rating', true],
  ])('judges %s', (text, wanted) => {
    expect(parseCondition(text)({ rating: '8', name: 'x y' })).toBe(wanted)
  })

  it.each([
    '',
    'rating',
    'rating >=',
    'rating >= 8 8',
    '(rating = 1',
    'rating = 1 or',
    'process.exit()',
    'a ; b',
    'nope = 1',
  ])('refuses the condition "%s"', text => {
    expect(() => parseCondition(text, ['rating', 'a', 'b'])).toThrowError(
      /can't be read at character/,
    )
  })

  it('names each column once, also where a field has its name', () => {
    expect(() => parseCondition('nope = 1', ['rating', 'ts', 'rating'])).toThrowError(
      /one of the names rating, ts$/,
    )
  })

  it.each([
    ['1364690142', 'seconds', 1364690142000],
    ['1364690142.25', 'seconds', 1364690142250],
    [1364690142000, 'milliseconds', 1364690142000],
    ['1364690142000000', 'microseconds', 1364690142000],
    ['2013-03-31T00:35:42Z', 'iso-8601', 1364690142000],
    ['2013-03-31 00:35:42', 'iso-8601', 1364690142000],
    ['2013-03-31T02:35:42+02:00', 'iso-8601', 1364690142000],
    ['2013-03-31', 'iso-8601', 1364688000000],
    ['soon', undefined, undefined],
  ] as const)('recognises the time %s', (raw, form, ms) => {
    expect(formOf(raw)).toBe(form)
    if (form) expect(timeMs(raw, form)).toBe(ms)
  })
})

const data = process.env.FRESHET_DATA ?? '../shared/data'
const ratings = join(data, 'movietweetings-100k', 'ratings.dat')
describe('the MovieTweetings log', () => {
  if (!existsSync(ratings))
    it('is left out: set FRESHET_DATA to a folder with movietweetings-100k/ratings.dat and movies.dat (github.com/sidooms/MovieTweetings, snapshots/100K)', () => {
      expect(existsSync(ratings)).toBe(false)
    })
  else
    it('is read whole: each line once, positives as a recount has them', () => {
      const lines = readFileSync(ratings, 'utf8')
        .trim()
        .split('\n')
        .map(line => line.split('::'))
      const log = importLog(ratings, { format: 'movietweetings' })
      expect(log).toMatchObject({ events: lines.length, bad: [], times: 'seconds' })
      const ids = new Set<string>()
      const counts = new Map<string, number>()
      let last = 0
      for (const imported of log.records()) {
        if (imported.kind !== 'Watch') continue
        const { eventId, ts, endReason, itemId, userId } = imported.record
        expect(ts).toBeGreaterThanOrEqual(last)
        last = ts
        ids.add(eventId)
        const key = `${userId} ${itemId} ${ts} ${endReason}`
        counts.set(key, (counts.get(key) ?? 0) + 1)
      }
      expect(ids.size).toBe(lines.length)
      for (const [user, item, rating, ts] of lines) {
        const key = `${user} ${item} ${Number(ts) * 1000} ${Number(rating) >= 8 ? 'finished' : 'left'}`
        counts.set(key, (counts.get(key) ?? 0) - 1)
      }
      expect([...counts.values()].filter(n => n !== 0)).toEqual([])
    })
})
