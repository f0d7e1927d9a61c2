import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { type ClickHouseProcess, spawnClickHouseHttp } from '../../test/support/clickhouse-http.ts'
import { connect } from './connect.ts'
import type { Connection } from './connection.ts'
import { Eraser } from './eraser.ts'
import { countExamples } from './examples-export.ts'
import { Outage } from './outage.ts'
import { type ClickHouseStore, createClickHouseStore } from './store.ts'

const base = {
  database: 'freshet',
  run: 'live',
  log: silentLogger,
  metrics: noMetrics,
  clock: systemClock,
  flushMs: 10,
  eraseEveryMs: 50,
}
const folder = mkdtempSync(join(tmpdir(), 'freshet-eraser-'))
const start = Date.UTC(2026, 0, 1)
const minute = 60_000
let server: ClickHouseProcess
let store: ClickHouseStore
const directory = join(folder, 'server')

const open = () => createClickHouseStore({ ...base, url: server.url })
beforeAll(async () => {
  server = await spawnClickHouseHttp({ directory })
  store = await open()
  await store.migrate()
})
afterAll(async () => {
  await store.close()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const example = (user: string, n: number, revision = 1) => ({
  ts: start + n * minute,
  request: `r${n}`,
  user,
  item: `i${n}`,
  revision,
})
const slate = (user: string, n: number) => ({
  ts: start + n * minute,
  user,
  surface: 'home',
  list_version: `v${n}`,
  revision: 1,
})
/** Everything up to minute `n`. */
const order = (pseudonym: string, n: number, asked = start + n * minute) => ({
  order: { examples: start + n * minute, slates: start + n * minute },
  pseudonym,
  asked,
})

async function left(table: string): Promise<Record<string, number>> {
  const rows = await store.query<{ user: string; n: unknown }>(
    `SELECT user, count() AS n FROM freshet.${table} GROUP BY user ORDER BY user`,
  )
  return Object.fromEntries(rows.map(({ user, n }) => [user, Number(n)]))
}

async function told(pseudonym: string) {
  const rows = await store.query<Record<string, unknown>>(
    `SELECT store, found, removed, found_after AS after, done IS NOT NULL AS done FROM freshet.v_erasures
     WHERE pseudonym = '${pseudonym}' ORDER BY asked, store`,
  )
  return rows.map(({ store: of, found, removed, after, done }) =>
    [of, Number(found), Number(removed), Number(after), Boolean(done)].join(' '),
  )
}

async function mutations(table: string): Promise<number> {
  const [{ n }] = await store.query<{ n: unknown }>(
    `SELECT count() AS n FROM system.mutations WHERE table = '${table}' AND command LIKE '%erasure%'`,
  )
  return Number(n)
}

describe('an erasure in ClickHouse', () => {
  it('removes what was written before it, of all runs; many are one mutation', async () => {
    const users = Array.from({ length: 20 }, (_, n) => `u${String(n).padStart(2, '0')}`)
    const replay = await createClickHouseStore({ ...base, url: server.url, run: 'replay1' })
    await replay.insert('examples', [example('u00', 1)])
    await replay.close()
    // nothing of it is stored when the orders come: R1
    const waits: Promise<unknown>[] = []
    for (const user of users) {
      waits.push(
        store.insert('examples', [example(user, 1), example(user, 1, 2), example(user, 2)]),
      )
      waits.push(store.insert('slates', [slate(user, 1)]))
      // of a user who came back
      waits.push(store.insert('examples', [example(user, 9)]))
    }
    const erased = users.slice(0, 15)
    for (const user of erased) waits.push(store.insert('erasures', [order(user, 5)]))
    await Promise.all(waits)
    const expected = Object.fromEntries(users.map((user, n) => [user, n < 15 ? 1 : 3]))
    expect(await left('examples')).toEqual(expected)
    expect(await left('slates')).toEqual(Object.fromEntries(users.slice(15).map(user => [user, 1])))
    expect(await told('u00')).toEqual(['examples 3 3 0 true', 'slates 1 1 0 true'])
    expect(await told('u01')).toEqual(['examples 2 2 0 true', 'slates 1 1 0 true'])
    expect(await told('u15')).toEqual([])
    expect([await mutations('examples'), await mutations('slates')]).toEqual([1, 1])
  })

  it('says the same again, and needs no mutation where there is nothing', async () => {
    const before = await store.query("SELECT * FROM freshet.v_erasures WHERE pseudonym = 'u00'")
    await store.insert('erasures', [order('u00', 5), order('nobody', 5)])
    expect(await store.query("SELECT * FROM freshet.v_erasures WHERE pseudonym = 'u00'")).toEqual(
      before,
    )
    expect(await told('nobody')).toEqual(['examples 0 0 0 true', 'slates 0 0 0 true'])
    expect(await mutations('examples')).toBe(1)
  })

  it("other rows of a block of `erasures` are rows; quotes in a name are no statement's", async () => {
    const name = "x') OR 1 = 1 -- \\"
    await store.insert('examples', [example(name, 1)])
    const rows = await left('examples')
    const other = { pseudonym: name, asked: start, store: 'redis', found: 2, revision: 1 }
    await store.insert('erasures', [other, order(name, 5)])
    delete rows[name]
    expect(await left('examples')).toEqual(rows)
    const [{ n }] = await store.query<{ n: unknown }>(
      "SELECT count() AS n FROM freshet.v_erasures WHERE store = 'redis'",
    )
    expect(Number(n)).toBe(1)
  })

  it('goes on where a process was killed between finding and removing', async () => {
    await store.insert('examples', [example('k', 1), example('k', 2)])
    const connection = await connect(server.url)
    const eraserOf = (sql: Connection) =>
      new Eraser({
        ...base,
        sql,
        everyMs: 1,
        outage: new Outage('here', systemClock, silentLogger, { set() {} }),
        stored: async () => undefined,
        insert: rows => store.insert('erasures', rows),
      })
    let died: () => void = () => undefined
    const dead = new Promise<void>(resolve => {
      died = resolve
    })
    const first = eraserOf({
      ...connection,
      command: () => {
        died()
        return new Promise(() => undefined)
      },
    })
    void first.erase([order('k', 5)])
    await dead
    expect(await told('k')).toEqual(['examples 2 0 2 false'])
    // one row goes otherwise: what was found first counts
    await store.query("ALTER TABLE freshet.examples DELETE WHERE user = 'k' AND item = 'i1'")
    await eraserOf(connection).erase([order('k', 5)])
    expect(await told('k')).toEqual(['examples 2 2 0 true', 'slates 0 0 0 true'])
    await connection.close()
  })

  it('R2: of a replay removes the rows of the replay alone', async () => {
    await store.insert('examples', [example('back', 1)])
    const replay = await createClickHouseStore({ ...base, url: server.url, run: 'replay2' })
    await replay.insert('examples', [example('back', 1), example('back', 2)])
    await replay.insert('erasures', [order('back', 5)])
    await replay.close()
    const rows = await store.query<{ run: string }>(
      "SELECT run FROM freshet.examples WHERE user = 'back'",
    )
    expect(rows).toEqual([{ run: 'live' }])
  })

  it('less consent removes nothing, but what is older is used no more', async () => {
    const examples = [
      example('less', 1),
      example('less', 2, 3),
      example('less', 9),
      example('m', 1),
    ]
    await store.insert('examples', examples)
    const wanted = {
      database: 'freshet',
      from: start,
      to: start + 100 * minute,
      labelled: false,
    }
    const usable = async () =>
      (await countExamples(store, wanted)).reduce((sum, { rows }) => sum + rows, 0)
    const before = await usable()
    const use = { store: 'use', found: 0, removed: 0, found_after: 0, revision: 1 }
    const until = [start + minute, start + 2 * minute]
    await store.insert(
      'erasures',
      until.map(asked => ({ pseudonym: 'less', asked, done: asked, ...use })),
    )
    expect(await usable()).toBe(before - 2)
    expect((await left('examples')).less).toBe(3)
  })

  it('waits through an outage, and is left to the next start where the store closes', async () => {
    await store.insert('examples', [example('o', 1)])
    const port = Number(new URL(server.url).port)
    await server.stop('SIGKILL')
    const closing = await open()
    const leftOver = closing.insert('erasures', [order('o', 5)])
    const refused = expect(leftOver).rejects.toMatchObject({ code: 'CLOSED' })
    while (closing.waiting() === undefined) await systemClock.sleep(10)
    expect(closing.waiting()).toMatch(/for erasures since/)
    await closing.close()
    await refused
    let done = false
    const erased = store.insert('erasures', [order('o', 5)]).then(() => {
      done = true
    })
    while (store.waiting() === undefined) await systemClock.sleep(10)
    expect(done).toBe(false)
    server = await spawnClickHouseHttp({ directory, port })
    await erased
    expect((await left('examples')).o).toBeUndefined()
    expect(await told('o')).toEqual(['examples 1 1 0 true', 'slates 0 0 0 true'])
    expect(store.waiting()).toBeUndefined()
  })
})
