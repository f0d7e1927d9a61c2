import { expect, it } from 'vitest'
import { Decoder, SchemaRegistry } from '../../schemas/index.ts'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { topologyOptions } from '../../topologies/options.ts'
import type { RecordSource, SourceRecord } from '../shadow/source.ts'
import { comparePrequential, firstPlays } from './prequential.ts'

const t0 = Date.UTC(2026, 0, 1)
const minute = 60_000
const decoder = new Decoder('events', new SchemaRegistry({ url: 'mock://prequential' }))

/** Partitions of plays: two heartbeats each, of which the second makes it a positive. */
function sourceOf(partitions: readonly (readonly object[])[]): RecordSource {
  return {
    async *read(_topic, partition, from, to) {
      const run = partitions[partition].slice(from, to).map(
        (event, k): SourceRecord => ({
          offset: from + k,
          timestamp: (event as { ts: number }).ts,
          key: null,
          value: Buffer.from(JSON.stringify(event)),
          headers: [],
        }),
      )
      if (run.length > 0) yield run
    },
    close: async () => undefined,
  }
}

const heartbeat = (user: string, item: string, at: number, watchedMs: number, more = {}) => ({
  type: 'watch',
  eventId: `${user} ${item} ${at}`,
  userId: user,
  itemId: item,
  playId: `${user} ${item}`,
  ts: t0 + at * minute,
  watchedMs,
  durationMs: 300_000,
  consent: 'full',
  ...more,
})

it('takes the first plays of all partitions in order of time, each once, as they became certain', async () => {
  const source = sourceOf([
    [
      heartbeat('a', 'i1', 1, 10_000),
      heartbeat('a', 'i1', 2, 40_000),
      heartbeat('a', 'i1', 3, 70_000),
      heartbeat('a', 'i2', 4, 40_000, { consent: 'contextual' }),
      heartbeat('a', 'i3', 9, 40_000),
      { type: 'impression', eventId: 'e', userId: 'a', itemId: 'i1', ts: t0, consent: 'full' },
      { no: 'event', ts: t0 },
    ],
    [heartbeat('b', 'i1', 5, 40_000), heartbeat('b', 'i4', 600, 40_000)],
  ])
  const ranges = [
    [0, 7],
    [0, 2],
  ] as const
  const play = (userId: string, itemId: string, at: number) => ({
    userId,
    itemId,
    ts: t0 + at * minute,
  })
  expect(await firstPlays(source, ranges, decoder, 3)).toEqual([
    play('a', 'i1', 2),
    play('b', 'i1', 5),
    play('a', 'i3', 9),
  ])
  expect(await firstPlays(source, ranges, decoder, 100)).toHaveLength(4)
})

it('tells which options rank better what was watched next', async () => {
  const random = randomFrom(5)
  // what is watched follows from what was watched before
  const plays = Array.from({ length: 360 }, (_, k) => {
    const user = Math.floor(k / 12)
    return {
      userId: `u${user}`,
      itemId: `i${(user % 6) * 10 + Math.floor(random() * 10)}`,
      ts: t0 + k * minute,
    }
  })
  const { values } = resolveOptions(topologyOptions, { flags: {}, environment: {}, file: {} })
  const same = await comparePrequential(plays, { replay: values, with: values })
  expect(same).toMatchObject({ plays: 360, from: t0, to: t0 + 359 * minute })
  expect(same?.predicted).toBeGreaterThan(100)
  for (const { replay, with: other, difference, interval } of same?.metrics ?? []) {
    expect(replay).toBe(other)
    expect(difference).toBe(0)
    expect(interval).toEqual([0, 0])
  }
  expect(await comparePrequential([], { replay: values, with: values })).toBeNull()
}, 120_000)
