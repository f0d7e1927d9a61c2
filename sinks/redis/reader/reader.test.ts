import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RedisService, startRedis, uniqueName } from '../../../test/support/services.ts'
import { assign, impressionFields, readPage } from './reader.ts'

const list = (user: string, ids: string[]) =>
  JSON.stringify({
    version: '000001-0000000000000001-0000000001',
    user,
    policy: 'blend-pl@3',
    model: 'abc',
    experiments: { rank7: 'b' },
    items: ids.map((id, i) => ({ id, score: 9 - i, p: 0.5 / (i + 1), src: 'covisit', x: i === 1 })),
  })

describe('reading lists', () => {
  let server: RedisService
  let redis: Redis
  const prefix = `${uniqueName('reader')}:`
  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
    await redis.set(`${prefix}topk:home:u:u1`, list('u1', ['a', 'b', 'c', 'd']))
    await redis.set(`${prefix}topk:home:c:de-phone:15`, list('', ['e']))
    await redis.set(`${prefix}topk:home:global:15`, list('', ['f']))
    await redis.set(`${prefix}topk:home:u:broken`, '{"items":')
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })
  const random = () => 0.99

  it('takes the user, else the cohort, else all, else nothing', async () => {
    const ids = async (options: object) =>
      (await readPage(redis, { prefix, random, ...options })).items.map(({ id }) => id)
    expect(await ids({ userId: 'u1', cohort: 'de-phone' })).toEqual(['a', 'b', 'c', 'd'])
    expect(await ids({ userId: 'u2', cohort: 'de-phone' })).toEqual(['e'])
    expect(await ids({ cohort: 'fr-phone' })).toEqual(['f'])
    expect((await readPage(redis, { prefix, random: () => 0 })).from).toBe('nowhere')
  })

  it('is never an error: a broken value or a lost Redis leaves the next best', async () => {
    const errors: unknown[] = []
    const onError = (error: unknown) => void errors.push(error)
    expect((await readPage(redis, { prefix, random, userId: 'broken', onError })).from).toBe(
      'global',
    )
    const lost = { get: async () => Promise.reject(new Error('gone')) }
    expect((await readPage(lost, { userId: 'u1', onError })).items).toEqual([])
    expect(errors).toHaveLength(3)
  })

  it('drops what is blocked or unwanted; propensities stay exact above and are null below', async () => {
    await redis.zadd(`${prefix}blocked`, 1, 'b')
    const page = await readPage(redis, { prefix, random, userId: 'u1' })
    expect(page.items.map(({ id, p, index }) => [id, p, index])).toEqual([
      ['a', 0.5, 0],
      ['c', null, 2],
      ['d', null, 3],
    ])
    await redis.del(`${prefix}blocked`)
    const last = await readPage(redis, { prefix, random, userId: 'u1', drop: id => id === 'd' })
    expect(last.items.map(({ p }) => p)).toEqual([0.5, 0.25, 0.5 / 3])
  })

  it('deals arms for what comes from no list', () => {
    const arms = [{ name: 'a', share: 0.5 }]
    const dealt = ['u1', 'u2', 'u3', 'u4', 'u5', 'u6'].map(userId =>
      assign({ experiment: 'rank7', salt: '', arms }, userId),
    )
    expect(new Set(dealt)).toEqual(new Set(['a', null]))
  })

  it('gives the fields to log', async () => {
    const page = await readPage(redis, { prefix, random, userId: 'u1', cohort: 'de-phone' })
    expect(impressionFields(page, 'b', { position: 1, slateSize: 4 })).toEqual({
      itemId: 'b',
      position: 1,
      slateSize: 4,
      surface: 'home',
      cohort: 'de-phone',
      policy: 'blend-pl@3',
      modelVersion: 'abc',
      listVersion: '000001-0000000000000001-0000000001',
      listIndex: 1,
      candidateSource: 'covisit',
      score: 8,
      propensity: 0.25,
      explore: true,
      experiments: { rank7: 'b' },
    })
    const moved = { position: 0, slateSize: 4, asServed: false }
    expect(impressionFields(page, 'b', moved).propensity).toBeNull()
    expect(impressionFields(page, 'mine', moved)).toMatchObject({
      listVersion: null,
      policy: '',
      propensity: null,
    })
  })
})
