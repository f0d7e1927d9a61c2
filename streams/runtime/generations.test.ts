/** The journal of generations: one application a prefix, one generation for all its workers, no state that is quietly gone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { Generations } from './generations.ts'
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
