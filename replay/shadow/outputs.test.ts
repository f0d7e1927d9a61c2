import { describe, expect, it } from 'vitest'
import type { TableRow, ViewWrite } from '../../streams/topology/outbox.ts'
import { KnownErasures } from './erasures.ts'
import { Outputs } from './outputs.ts'

function world({ failing = false } = {}) {
  const written: { version: string; writes: readonly ViewWrite[] }[] = []
  const inserted: { table: string; rows: readonly TableRow[] }[] = []
  const erasures = new KnownErasures(user => [`hash of ${user}`])
  const outputs = new Outputs({
    views: {
      name: 'views',
      async write(writes, version) {
        if (failing) throw new Error('the store refuses')
        written.push({ version, writes })
      },
      waiting: () => undefined,
      close: async () => undefined,
    },
    tables: {
      name: 'tables',
      async insert(table, rows) {
        inserted.push({ table, rows })
      },
      waiting: () => undefined,
      close: async () => undefined,
    },
    erasures,
    generation: 1,
    opening: 7,
  })
  return { outputs, erasures, written, inserted }
}

const list = (user: string, body: string): ViewWrite => ({
  ...{ op: 'json', key: `topk:home:u:${user}`, body, ttlMs: 1 },
})

describe('what leaves a replay', () => {
  it('O2: of a key that is written often the last write goes out, with a version that grows', async () => {
    const { outputs, written } = world()
    outputs.view(list('u1', 'a'), 0)
    outputs.view(list('u1', 'b'), 0)
    outputs.view({ op: 'zadd', key: 'blocked', member: 'i1', score: 1 }, 0)
    outputs.view({ op: 'zrem', key: 'blocked', member: 'i1' }, 0)
    await outputs.flush()
    outputs.view(list('u1', 'c'), 0)
    await outputs.flush()
    expect(written.map(({ writes }) => writes.map(w => ('body' in w ? w.body : w.op)))).toEqual([
      ['zadd', 'zrem', 'b'],
      ['c'],
    ])
    expect(written[0].version < written[1].version).toBe(true)
  })

  it('O3: nothing of a user goes out before the erasure that is yet to come, all of it after', async () => {
    const { outputs, erasures, written, inserted } = world()
    erasures.add('u1', 500)
    erasures.add('u1', 100)
    outputs.view(list('u1', 'before'), 400)
    outputs.view(list('u2', 'another'), 400)
    outputs.view({ op: 'hash', key: 'session:u1', fields: [], ttlMs: 1 }, 500)
    outputs.view({ op: 'delete', key: 'topk:home:u:u1' }, 501)
    outputs.rows('examples', [{ user: 'hash of u1' }, { user: 'hash of u2' }], 400)
    outputs.rows('drift', [{ user: 'hash of u1' }], 400)
    await outputs.flush()
    outputs.view(list('u1', 'came back'), 501)
    outputs.rows('examples', [{ user: 'hash of u1' }], 501)
    await outputs.flush()
    expect(written[0].writes.map(({ op, key }) => `${op} ${key}`)).toEqual([
      'json topk:home:u:u2',
      'delete topk:home:u:u1',
    ])
    expect(written[1].writes).toHaveLength(1)
    expect(inserted.map(({ table, rows }) => [table, rows.map(({ user }) => user)])).toEqual([
      ['examples', ['hash of u2']],
      ['drift', ['hash of u1']],
      ['examples', ['hash of u1']],
    ])
  })

  it('O1: a sink that fails fails the flush, and whatever comes behind', async () => {
    const { outputs } = world({ failing: true })
    outputs.view(list('u1', 'a'), 0)
    await expect(outputs.flush()).rejects.toThrow('the store refuses')
    await expect(outputs.room()).rejects.toThrow('the store refuses')
  })
})
