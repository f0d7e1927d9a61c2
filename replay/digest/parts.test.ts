/** A digest tells one changed figure, and in its own part alone; the order of rows tells nothing. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { digestWithTexts, exactRowsOf } from '../../test/support/digest-rows.ts'
import { compose, Recommender } from '../../test/support/recommender.ts'
import {
  impression,
  MINUTE,
  START,
  UserTask as Task,
  type UserTask,
  watch,
} from '../../test/support/user-task.ts'
import { driftUserStores } from '../../topologies/drift/user-stage.ts'
import { itemStores } from '../../topologies/items/stores.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { topologyOptions } from '../../topologies/options.ts'
import {
  emptyItemCounts,
  readCounts,
  readHour,
  writeCounts,
  writeHour,
} from '../../topologies/popularity/rows.ts'
import type { StoredUser } from '../../topologies/user/stored-user.ts'
import { type DigestPart, digestParts, type ExactRow, exactDigest } from './digest.ts'

const names = 'sessions,labels,popularity,covisit,topk,drift,quality'
const topologies = parseTopologies(names)
const composition = await compose({}, names)
const { values: options } = resolveOptions(topologyOptions, {
  flags: {},
  environment: {},
  file: {},
})

/** Some users look and watch; all is taken in. */
function rowsOfADay(): ExactRow[] {
  let now = START
  const recommender = new Recommender({ composition, now: () => now, partitions: 2 })
  for (let k = 0; k < 60; k++) {
    now += MINUTE
    const [user, item] = [`u${k % 7}`, `i${k % 5}`]
    recommender.arrive(impression(user, item, now, { requestId: `r${k}`, score: k / 60 }))
    recommender.arrive(
      watch(user, item, now + 1, `p${k}`, 40_000, { requestId: `r${k}`, durationMs: 60_000 }),
    )
  }
  for (const user of recommender.users) user.take()
  for (let k = 0; k < 3; k++) {
    recommender.tickAll()
    recommender.commitAll()
  }
  return [...exactRowsOf(recommender)]
}
const rows = rowsOfADay()
const digest = (of: Iterable<ExactRow>) => exactDigest(of, options, topologies)
const whole = digest(rows)

/** The parts that change where one row is another. */
function changedBy(at: number, value: Buffer): DigestPart[] {
  const found = digest(rows.map((row, k) => (k === at ? { ...row, value } : row)))
  return digestParts.filter(part => found[part] !== whole[part])
}

const placesOf = (kind: string, store: number): number[] =>
  rows.flatMap((row, k) => (row.kind === kind && row.store === store ? [k] : []))

const written = (write: (w: ByteWriter) => void): Buffer => {
  const w = new ByteWriter(256)
  write(w)
  return w.copy()
}

describe('a digest', () => {
  it('has all its parts, of something', () => {
    const { texts } = digestWithTexts(rows, options, topologies)
    for (const part of digestParts) {
      expect(texts[part].length).toBeGreaterThan(5)
      expect(whole[part]).toMatch(/^[0-9a-f]{64}$/)
    }
  })

  it('is the same in any order of rows', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...rows.keys()], { minLength: rows.length }), order => {
        expect(digest(order.map(k => rows[k]))).toEqual(whole)
      }),
      { numRuns: 10 },
    )
  })

  it('tells a row that is missing, or of another task', () => {
    for (const [kind, store, part] of [
      ['user', 1, 'sessions'],
      ['item', itemStores.hours, 'counts'],
    ] as const) {
      const [at] = placesOf(kind, store)
      const missing = digest(rows.filter((_, k) => k !== at))
      expect(missing[part]).not.toBe(whole[part])
    }
  })

  it('tells a single count, of an item and of an hour', () => {
    const fields = ['impressions', 'watches', 'positives', 'watchedMs'] as const
    for (const field of fields) {
      const [at] = placesOf('item', itemStores.counts)
      const counts = emptyItemCounts()
      readCounts(new ByteReader(rows[at].value), counts)
      counts[field]++
      expect(
        changedBy(
          at,
          written(w => writeCounts(counts, w)),
        ),
      ).toEqual(['counts'])
    }
    const [at] = placesOf('item', itemStores.hours)
    const minutes = readHour(new ByteReader(rows[at].value))
    // counts stand above the minute's six bits
    minutes[0] += 64
    expect(
      changedBy(
        at,
        written(w => writeHour(minutes, w)),
      ),
    ).toEqual(['counts'])
  })

  it('does not tell decayed sums, which depend on the order in which packets came', () => {
    const [at] = placesOf('item', itemStores.counts)
    const counts = emptyItemCounts()
    readCounts(new ByteReader(rows[at].value), counts)
    counts.decayed[0] += 0.001
    expect(
      changedBy(
        at,
        written(w => writeCounts(counts, w)),
      ),
    ).toEqual([])
  })

  it('tells one count of a window, or of a play that goes on', () => {
    const pending = placesOf('statistics', 46)
    // the last byte of a histogram's row is the count of its last cell
    const at = pending.find(k => rows[k].key.includes('feature:position')) as number
    const value = Buffer.from(rows[at].value)
    value[value.length - 1] += 2
    expect(changedBy(at, value)).toEqual(['histograms'])
    const play = placesOf('user', driftUserStores.plays).at(-1) as number
    const beats = Buffer.from(rows[play].value)
    // minute, watched, duration, positive of the last beat, then the cohort
    beats[beats.length - 2] ^= 1
    expect(changedBy(play, beats)).toEqual(['histograms'])
  })

  it('tells each field of a session, and a label', () => {
    const task = new Task({})
    task.send(impression('u', 'a', START, { requestId: 'r' }))
    task.send(watch('u', 'a', START + 1, 'p', 20_000, { durationMs: 60_000 }))
    const before = sessionsOf(task)
    const session = () => (task.users.get('u') as StoredUser).state.session
    const fields = [
      'impressions',
      'watches',
      'positives',
      'watchedMs',
      'completes',
      'skips',
    ] as const
    const seen = new Set([before])
    for (const field of [...fields, 'lastEventAt'] as const) {
      session()[field]++
      task.users.touchUser((task.users.get('u') as StoredUser).state)
      const now = sessionsOf(task)
      expect(seen.has(now)).toBe(false)
      seen.add(now)
    }
    const [entry] = placesOf('user', 11)
    const value = Buffer.from(rows[entry].value)
    value[2]++ // its position
    expect(changedBy(entry, value)).toEqual(['labels'])
  })

  it('is null for a part whose topology does not run', () => {
    const few = exactDigest(rows, options, parseTopologies('sessions,popularity'))
    expect(few).toEqual({ ...whole, labels: null, histograms: null })
  })
})

function sessionsOf(task: UserTask): string {
  task.commit()
  const last = new Map<string, ExactRow>()
  for (const { records } of task.batches)
    for (const { key, value } of records)
      if (key !== null && key[0] !== 0 && value !== null)
        last.set(key.toString('latin1'), {
          kind: 'user',
          partition: 0,
          store: key[0],
          key: key.subarray(1),
          value,
        })
  return digest(last.values()).sessions
}
