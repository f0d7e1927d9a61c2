/** The whole application begins anew, or nothing does; a reset that was cut short is finished by the next one. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { Generations } from './generations.ts'
import { topicNames } from './names.ts'
import { Reset } from './reset.ts'

const names = topicNames('t.', 1)
const wall = (): number => 1_800_000_000_000
let transport: Transport

beforeEach(() => {
  transport = createEmbeddedTransport({ memory: true })
})
afterEach(() => transport.close())

const reset = (on: Transport = transport, application = 'a') =>
  new Reset({ transport: on, names, application, kinds: ['user', 'item'], wall })
const journal = () => new Generations({ transport, names, wall })

async function makeTopics(...topics: string[]): Promise<void> {
  await transport.topics.create(topics.map(topic => ({ topic, partitions: 1, config: {} })))
}

const standing = async (...topics: string[]): Promise<string[]> => [
  ...(await transport.topics.describe(topics)).keys(),
]

describe('a reset', () => {
  it('has nothing to do where nothing has begun', async () => {
    await makeTopics('t.events')
    expect(await reset().plan()).toBeUndefined()
  })

  it('begins the next generation, and removes what freshet made for the earlier ones, of any kind', async () => {
    await journal().enter('a', 1, ['user'])
    const generations = journal()
    await generations.read()
    await generations.birthsOf('oldkind-0').add()
    const own = ['t.g1.item-deltas', 't.g1.oldkind-changelog', 't.g1.user-changelog']
    await makeTopics('t.events', 't.alerts', ...own)
    const plan = await reset().plan()
    expect(plan).toMatchObject({ from: { generation: 1 }, to: 2, topics: own })
    await reset().perform(plan as NonNullable<typeof plan>)
    expect(await standing(...own, 't.events', 't.alerts')).toEqual(['t.events', 't.alerts'])
    expect((await journal().enter('a', 2, ['user'])).current).toMatchObject({ generation: 2 })
  })

  it('that was cut short after the new generation began is finished by the next', async () => {
    await journal().enter('a', 1, ['user'])
    await makeTopics('t.g1.user-changelog')
    const cut: Transport = Object.assign(Object.create(transport), {
      topics: Object.assign(Object.create(transport.topics), {
        remove: () => Promise.reject(new Error('cut short')),
      }),
    })
    const first = await reset(cut).plan()
    await expect(reset(cut).perform(first as NonNullable<typeof first>)).rejects.toThrow('cut')
    // a worker meanwhile begins with nothing, in the new one
    await journal().enter('a', 2, ['user'])
    await makeTopics('t.g2.user-changelog')
    const plan = await reset().plan()
    expect(plan?.topics).toEqual(['t.g1.user-changelog', 't.g2.user-changelog'])
    await reset().perform(plan as NonNullable<typeof plan>)
    expect((await journal().read()).current).toMatchObject({ generation: 3 })
  })

  it('goes beyond every generation that left topics, where the journal was removed', async () => {
    await makeTopics('t.g7.user-changelog')
    const plan = await reset().plan()
    expect(plan).toMatchObject({ from: undefined, to: 8 })
    await reset().perform(plan as NonNullable<typeof plan>)
    expect((await journal().read()).current).toMatchObject({ application: 'a', generation: 8 })
  })

  it('gives the topics to another application', async () => {
    await journal().enter('a', 1, ['user'])
    const plan = await reset(transport, 'b').plan()
    await reset(transport, 'b').perform(plan as NonNullable<typeof plan>)
    expect((await journal().enter('b', 2, ['user'])).current?.application).toBe('b')
  })

  it('is refused while workers are there, of either name, and takes nothing when they come meanwhile', async () => {
    await journal().enter('a', 1, ['user'])
    await makeTopics('t.g1.user-changelog')
    const asked: string[] = []
    let members: string[] = ['a (10.0.0.7)']
    const busy: Transport = Object.assign(Object.create(transport), {
      members: async (group: string) => {
        asked.push(group)
        return group === 'a' ? members : []
      },
    })
    await expect(reset(busy, 'b').plan()).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^group a has 1 members: a \(10\.0\.0\.7\); stop all workers/),
    })
    members = []
    const plan = await reset(busy, 'b').plan()
    expect(new Set(asked)).toEqual(new Set(['a', 'b']))
    asked.length = 0
    const late: Transport = Object.assign(Object.create(busy), {
      newProducerId: () => {
        members = ['a (10.0.0.8)']
        return transport.newProducerId()
      },
    })
    await expect(reset(late).perform(plan as NonNullable<typeof plan>)).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^generation 2 has begun, the old topics stay: group a/),
    })
    expect(await standing('t.g1.user-changelog')).toHaveLength(1)
  })

  it('removes state elsewhere that a generation went on with, and goes beyond no number of its names', async () => {
    const { current } = await journal().enter('a', 1, ['user'])
    const state = { prefix: 't.replay.r.', generation: 9 }
    await journal().raise(current, 'a', 2, { by: 'cutover of r', state, born: ['user-0'] })
    const own = ['t.g1.user-changelog', 't.replay.r.g9.item-deltas', 't.replay.r.g9.user-changelog']
    await makeTopics('t.events', ...own)
    const plan = await reset().plan()
    expect(plan).toMatchObject({ to: 3, topics: own })
    await reset().perform(plan as NonNullable<typeof plan>)
    expect(await standing(...own, 't.events')).toEqual(['t.events'])
  })
})
