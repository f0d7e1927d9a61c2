/** The journal of generations: one application a prefix, one generation for all its workers, no state that is quietly gone. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { Generations, inForce } from './generations.ts'
import { JournalReading } from './journal-records.ts'
import { topicNames } from './names.ts'

const names = topicNames('t.', 1)
const NOW = Date.parse('2026-03-01T00:00:00Z')
const kinds = ['user', 'item']
let transport: Transport

beforeEach(() => {
  transport = createEmbeddedTransport({ memory: true })
})
afterEach(() => transport.close())

const journal = () => new Generations({ transport, names, wall: () => NOW })

async function write(key: string, value: string): Promise<void> {
  const builder = new RecordBatchBuilder()
  builder.add(Buffer.from(key), Buffer.from(value))
  const producerId = await transport.newProducerId()
  await transport
    .writer({ producerId, epoch: 0, deadlineMs: 1000 })
    .append({ topic: 't.generations', partition: 0 }, builder.finish(NOW))
}

describe('the journal of generations', () => {
  it('is read without being made', async () => {
    expect((await journal().read()).current).toBeUndefined()
    expect((await transport.topics.describe(['t.generations'])).size).toBe(0)
  })

  it('G1: is entered by one application, and refuses another with whose it is', async () => {
    await journal().enter('a', 1, kinds)
    await journal().enter('a', 1, kinds)
    await expect(journal().enter('b', 1, kinds)).rejects.toMatchObject({
      code: 'APPLICATION_OTHER',
      message: expect.stringMatching(
        /^t\.generations-0@0: topics with the prefix "t\." belong to application a since 2026-03-01T00:00:00.000Z, this is b; .*topics\.prefix.*application\.id=a.*freshet reset/,
      ),
    })
  })

  it('G1: lets one of two in that enter at once', async () => {
    const both = await Promise.allSettled([
      journal().enter('a', 1, kinds),
      journal().enter('b', 1, kinds),
    ])
    expect(both.map(each => each.status).sort()).toEqual(['fulfilled', 'rejected'])
    const { current } = await journal().read()
    const winner = both[0].status === 'fulfilled' ? 'a' : 'b'
    expect(current).toMatchObject({ application: winner, offset: 0 })
  })

  it('G2: refuses a worker of another generation', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    await journal().raise(current, 'a', 2)
    await expect(journal().enter('a', 1, kinds)).rejects.toMatchObject({
      code: 'APPLICATION_OTHER',
      message: expect.stringMatching(
        /generation 2 of the state began .* starting with 1: start it/,
      ),
    })
    expect((await journal().enter('a', 2, kinds)).current?.generation).toBe(2)
  })

  it('G4: is not raised too late, however long the log could not be reached meanwhile', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    let now = NOW
    const deadlines: number[] = []
    let away = 3_000
    const slow: Transport = Object.assign(Object.create(transport), {
      newProducerId: async () => {
        now += away
        return transport.newProducerId()
      },
      writer: (identity: Parameters<Transport['writer']>[0]) => {
        deadlines.push(identity.deadlineMs)
        return transport.writer(identity)
      },
    })
    const late = new Generations({ transport: slow, names, wall: () => now })
    const to = { by: 'cutover r', state: { prefix: 't.replay.r.', generation: 1 }, born: [] }
    await expect(late.raise(current, 'a', 2, to, NOW + 2_000)).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
    })
    expect((await journal().read()).current?.generation).toBe(1)
    away = 500
    await late.raise(current, 'a', 2, to, now + 2_000)
    expect(deadlines).toEqual([1_500])
  })

  it('G2: is raised by one of two', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    await journal().raise(current, 'a', 2)
    await expect(journal().raise(current, 'b', 2)).rejects.toMatchObject({
      code: 'APPLICATION_OTHER',
      message: expect.stringMatching(/generation 2 of b was begun, generation 2 of a was/),
    })
  })

  it('G3: remembers which tasks have state, for the generation in force', async () => {
    const first = journal()
    await first.enter('a', 1, kinds)
    await first.birthsOf('user-0').add()
    await first.birthsOf('user-0').add()
    await first.birthsOf('item-1').add()
    const other = journal()
    await other.enter('a', 1, kinds)
    expect(await other.birthsOf('user-0').known()).toBe(true)
    expect(await other.birthsOf('user-1').known()).toBe(false)
    await first.raise((await first.read()).current, 'a', 2)
    const { born, kinds: had } = await other.read()
    expect([...born]).toEqual([])
    expect([...(had.get(1) ?? [])]).toEqual(['user', 'item'])
  })

  it('refuses to begin at 1 where it is empty and a later generation stands', async () => {
    const [spec] = [{ topic: 't.g5.item-changelog', partitions: 1, config: {} }]
    await transport.topics.create([spec])
    await expect(journal().enter('a', 1, kinds)).rejects.toMatchObject({
      code: 'STATE_REMOVED',
      message: expect.stringMatching(/^t\.generations is empty although t\.g5\.item-changelog is/),
    })
  })

  it.each([
    ['no JSON', 'generation', '{'],
    ['null', 'generation', 'null'],
    ['another key', 'more', '{}'],
    ['a generation without its application', 'generation', '{"generation":1,"at":1,"follows":-1}'],
    ['a birth without its task', 'born', '{"generation":1}'],
  ])('refuses a record that is %s, with its address', async (_, key, value) => {
    await journal().enter('a', 1, kinds)
    await write(key, value)
    await expect(journal().read()).rejects.toMatchObject({
      code: 'CHANGELOG_CORRUPT',
      message: expect.stringMatching(/^t\.generations-0@1: this is no record of a generation/),
    })
  })
})

const STATE = { prefix: 't.replay.r.', generation: 3 }
const SWITCH = { by: 'cutover of r', state: STATE, born: ['user-0', 'item-1'] }

describe('a generation that goes on with state that is there', () => {
  it('is numbered as the next, and its topics are named by the state', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    expect(inForce(names, await journal().read()).names.changelog('user')).toBe(
      't.g1.user-changelog',
    )
    await journal().raise(current, 'a', 2, SWITCH)
    const found = await journal().read()
    expect(found.current).toMatchObject({ generation: 2, state: STATE, by: 'cutover of r' })
    const { generation, names: now } = inForce(names, found)
    expect(generation).toBe(2)
    expect(now.changelog('user')).toBe('t.replay.r.g3.user-changelog')
    expect(now.deltas('item')).toBe('t.replay.r.g3.item-deltas')
    expect(now.outside('events')).toBe('t.events')
    expect(now.state).toEqual(STATE)
    expect(found.history.map(({ state }) => state)).toEqual([
      { prefix: 't.', generation: 1 },
      STATE,
    ])
    expect(found.elsewhere).toEqual([STATE])
  })

  it('G3: has the tasks of that state born with it, so that one that is gone is missed', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    await journal().raise(current, 'a', 2, SWITCH)
    const now = journal()
    await now.enter('a', 2, kinds)
    expect(await now.birthsOf('user-0').known()).toBe(true)
    expect(await now.birthsOf('user-1').known()).toBe(false)
    await now.birthsOf('user-1').add()
    expect([...(await journal().read()).born].sort()).toEqual(['item-1', 'user-0', 'user-1'])
    expect([...((await journal().read()).births.get(2) ?? [])]).toHaveLength(3)
  })

  it('leaves nothing behind where another was begun meanwhile', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    await journal().raise(current, 'a', 2)
    await expect(journal().raise(current, 'a', 2, SWITCH)).rejects.toMatchObject({
      code: 'APPLICATION_OTHER',
    })
    const found = await journal().read()
    expect(found.current).toMatchObject({ by: null, state: { prefix: 't.', generation: 2 } })
    expect([...found.born]).toEqual([])
    // a reset removes its topics all the same
    expect(found.elsewhere).toEqual([STATE])
  })

  it.each([
    [
      'without its state',
      '{"application":"a","generation":2,"at":1,"follows":0,"by":"x","born":[]}',
    ],
    [
      'whose births are none',
      '{"application":"a","generation":2,"at":1,"follows":0,"by":"x","born":[1],"state":{"prefix":"p","generation":1}}',
    ],
  ])('is refused %s', async (_, value) => {
    await journal().enter('a', 1, kinds)
    await write('switch', value)
    await expect(journal().read()).rejects.toMatchObject({ code: 'CHANGELOG_CORRUPT' })
  })
})

describe('a hold', () => {
  const hold = (id: string, until = NOW + 5_000, generation = 1) => ({
    ...{ generation, id, by: `cutover ${id}`, until },
  })

  it('G4: is had by the first of two, until it is given back or over', async () => {
    await journal().enter('a', 1, kinds)
    await journal().hold(hold('x'))
    await expect(journal().hold(hold('y'))).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^cutover x holds the workers until 2026-03-01T00:00:05/),
    })
    await journal().release(hold('y'))
    expect((await journal().read()).hold).toEqual(hold('x'))
    await journal().hold(hold('x', NOW + 9_000))
    expect((await journal().read()).hold).toEqual(hold('x', NOW + 9_000))
    await journal().release(hold('x'))
    expect((await journal().read()).hold).toBeUndefined()
    await write('hold', JSON.stringify({ ...hold('z', NOW - 5), at: NOW - 9 }))
    await journal().hold(hold('y'))
    expect((await journal().read()).hold).toEqual(hold('y'))
  })

  it('G4: ends with the generation that it was asked for in', async () => {
    const { current } = await journal().enter('a', 1, kinds)
    await journal().hold(hold('x'))
    await journal().raise(current, 'a', 2, SWITCH)
    expect((await journal().read()).hold).toBeUndefined()
    await expect(journal().hold(hold('x'))).rejects.toMatchObject({ code: 'WORKERS_RUNNING' })
  })

  it('G2, G4: whatever writers do at once, all readers have the same, and one at a time holds and raises', () => {
    const act = fc.record({
      key: fc.constantFrom('generation', 'switch', 'hold', 'release', 'born'),
      /** How many records behind the log's end the writer had read. */
      behind: fc.nat(2),
      who: fc.constantFrom('x', 'y', 'z'),
      forMs: fc.nat(3),
    })
    fc.assert(
      fc.property(fc.array(act, { maxLength: 24 }), acts => {
        const log: { key: Buffer; value: Buffer }[] = []
        const read = (upTo: number) => {
          const reading = new JournalReading('t.')
          for (const [offset, { key, value }] of log.slice(0, upTo).entries())
            reading.take({ key, value, offset, timestamp: 0, headers: [] }, 'here')
          return reading.journal()
        }
        let [at, generations] = [0, 0]
        let held: { id: string; until: number } | undefined
        for (const { key, behind, who, forMs } of acts) {
          at++
          const seen = read(Math.max(0, log.length - behind))
          const before = read(log.length)
          const generation = seen.current?.generation ?? 0
          const begun = { application: 'a', generation: generation + 1, at }
          const follows = seen.current?.offset ?? -1
          const value = {
            generation: { ...begun, follows },
            switch: { ...begun, follows, ...SWITCH },
            hold: { generation, id: who, by: who, until: at + forMs, at },
            release: { generation, id: who, by: who, until: 0, at },
            born: { generation, task: `user-${at}`, at },
          }[key]
          const written = key === 'release' ? 'hold' : key
          log.push({ key: Buffer.from(written), value: Buffer.from(JSON.stringify(value)) })
          const after = read(log.length)
          if (after.history.length > before.history.length) {
            // it had seen the one in force, and it alone
            expect(seen.current?.offset).toBe(before.current?.offset)
            expect(after.current?.generation).toBe(++generations)
            expect(after.hold).toBeUndefined()
            held = undefined
          }
          if (after.hold?.id !== held?.id) {
            if (held && after.hold) expect(held.until).toBeLessThanOrEqual(at)
            held = after.hold
          } else held = after.hold
          if (after.hold) expect(after.hold.generation).toBe(after.current?.generation)
        }
      }),
      { numRuns: 300 },
    )
  })
})
