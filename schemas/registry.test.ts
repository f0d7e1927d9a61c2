import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RegistryServer, startRegistry } from '../test/support/registry.ts'
import { Decoder, definitions, Encoder, SchemaRegistry, subjectOf } from './index.ts'

let server: RegistryServer
let registry: SchemaRegistry

beforeAll(async () => {
  server = await startRegistry()
  registry = new SchemaRegistry({ url: server.url })
})
afterAll(() => server.close())

const get = async (path: string) => {
  const response = await fetch(`${server.url}${path}`)
  return { status: response.status, body: (await response.json()) as unknown }
}

describe('over REST', () => {
  it('registers each record under its topic and name, fully compatible', async () => {
    const ids = await registry.registerAll('freshet.')
    expect(subjectOf('freshet.', 'events', 'Watch')).toBe('freshet.events-freshet.Watch')
    expect((await get('/subjects')).body).toEqual(
      expect.arrayContaining(['freshet.events-freshet.Impression', 'freshet.items-freshet.Item']),
    )
    expect((await get('/config/freshet.events-freshet.Watch')).body).toEqual({
      compatibilityLevel: 'FULL_TRANSITIVE',
    })
    expect((await get(`/schemas/ids/${ids.get('Watch')}`)).body).toEqual({
      schema: definitions.Watch,
    })
    expect(await new SchemaRegistry({ url: server.url }).registerAll('freshet.')).toEqual(ids)
    expect((await get('/subjects/freshet.events-freshet.Watch/versions')).body).toEqual([1])
  })

  it('finds a schema with those it refers to', async () => {
    const client = { 'content-type': 'application/vnd.schemaregistry.v1+json' }
    const post = async (subject: string, body: unknown) => {
      const response = await fetch(`${server.url}/subjects/${subject}/versions`, {
        method: 'POST',
        headers: client,
        body: JSON.stringify(body),
      })
      return ((await response.json()) as { id: number }).id
    }
    await post('impression', { schema: definitions.Erasure })
    const schema = '["freshet.Erasure"]'
    const id = await post('all', {
      schema,
      references: [{ name: 'freshet.Erasure', subject: 'impression', version: 1 }],
    })
    expect(await registry.find(id)).toEqual({
      type: 'AVRO',
      text: schema,
      references: [definitions.Erasure],
    })
  })

  it('says null for an id that the registry does not have', async () => {
    expect(await registry.find(4711)).toBeNull()
  })

  it('is refused, with one sentence, where an earlier version is not compatible', async () => {
    const subject = subjectOf('strict.', 'erasures', 'Erasure')
    await registry.register(
      subject,
      JSON.stringify({
        type: 'record',
        name: 'Erasure',
        namespace: 'freshet',
        fields: [{ name: 'who', type: 'string' }],
      }),
    )
    await expect(registry.registerAll('strict.')).rejects.toThrow(
      /^the schema registry at http:\S+ refused when registering strict.erasures-freshet.Erasure: .*409/,
    )
  })

  it('says that nobody answers, without the password', async () => {
    const lonely = new SchemaRegistry({ url: 'http://me:secret@127.0.0.1:9' })
    const error = await lonely.find(1).catch(String)
    expect(error).toMatch(/the schema registry at http:\/\/127.0.0.1:9 did not answer when asking/)
    expect(error).not.toContain('secret')
  })
})

describe('the registry for tests, against the public contract', () => {
  it.each([
    ['/subjects/none/versions', 404, 40401],
    ['/schemas/ids/99999', 404, 40403],
    ['/subjects/freshet.items-freshet.Item/versions/9', 404, 40402],
    ['/subjects/freshet.items-freshet.Item/versions/x', 422, 42202],
    ['/nothing', 404, 404],
  ])('%s is %d, error code %d', async (path, status, code) => {
    expect(await get(path)).toMatchObject({ status, body: { error_code: code } })
  })

  it('refuses what is no schema with 42201', async () => {
    await expect(registry.register('broken', '{"type":"wreckord"}')).rejects.toThrow('42201')
  })

  it('gives one id to one schema in two subjects', async () => {
    const first = await registry.register('one', '"string"')
    expect(await registry.register('two', '"string"')).toBe(first)
    expect(await registry.register('two', '"long"').catch(String)).toContain('409')
  })
})

describe('within the process', () => {
  it('gives the same ids at every start, so that an embedded log stays readable', async () => {
    const ids = await new SchemaRegistry({ url: 'mock://a' }).registerAll('freshet.')
    expect(await new SchemaRegistry({ url: 'mock://b' }).registerAll('other.')).toEqual(ids)
    expect([...ids]).toEqual([
      ['Impression', 1],
      ['Watch', 2],
      ['Feedback', 3],
      ['Item', 4],
      ['Erasure', 5],
      ['Experiment', 6],
      ['Model', 7],
      ['SessionFeatures', 8],
      ['Alert', 9],
    ])
  })

  it('carries a record from the encoder to the decoder', async () => {
    const mock = new SchemaRegistry({ url: 'mock://c' })
    const encoder = await Encoder.open(mock, 'freshet.')
    const decoder = new Decoder('erasures', mock)
    const value = encoder.encode('Erasure', { eventId: 'e', userId: 'u', ts: 1_790_000_000_000 })
    const first = decoder.decode(value)
    if ('needs' in first) await decoder.resolve(first.needs)
    expect(decoder.decode(value)).toEqual({
      kind: 'erasure',
      record: { eventId: 'e', userId: 'u', ts: 1_790_000_000_000, reason: '' },
    })
  })
})
