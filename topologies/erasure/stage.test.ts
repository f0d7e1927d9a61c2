import { createHmac } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { Decoder, Encoder, SchemaRegistry } from '../../schemas/index.ts'
import {
  DAY,
  HOUR,
  impression,
  MINUTE,
  START,
  UserTask,
  watch,
} from '../../test/support/user-task.ts'
import { createLabelsStage } from '../labels/stage.ts'
import { createErasureStage } from './stage.ts'

const keys = ['the key of today', 'the key of last year']
const named = (user: string, key = keys[0]): string =>
  createHmac('sha256', key).update(user).digest('hex')

let decoder: Decoder<'erasures'>
let encoder: Encoder
beforeAll(async () => {
  const registry = new SchemaRegistry({ url: 'mock://erasure-stage' })
  encoder = await Encoder.open(registry, 'freshet.')
  decoder = new Decoder('erasures', registry)
  const needs = decoder.decode(encoder.encode('Erasure', { eventId: 'x', userId: 'u', ts: START }))
  if ('needs' in needs) await decoder.resolve(needs.needs)
})

function setUp() {
  const task = new UserTask({
    erasures: decoder,
    stages: (ctx, users) => {
      const erasure = createErasureStage(ctx, { users, keys, views: 2 })
      const labels = createLabelsStage(ctx, {
        users,
        times: {
          startWithinMs: 10 * MINUTE,
          joinWithinMs: 30 * MINUTE,
          silenceMs: 5 * MINUTE,
          longestMs: 4 * HOUR,
          returnWithinMs: 0,
        },
        objectives: { click: 0, graded: 1, completion: 0, return1d: 0 },
        feedback: {},
        slackMs: 0,
        examples: true,
        pseudonymKey: keys[0],
        pseudonymKeyId: 'k',
      })
      return [labels, erasure]
    },
  })
  const erase = (userId: string, ts: number): void =>
    task.erase(userId, encoder.encode('Erasure', { eventId: `${userId} ${ts}`, userId, ts }), ts)
  const blocks = () => task.commits.map(({ effects }) => effects.blocks)
  const rows = () =>
    blocks()
      .flat()
      .filter(({ table }) => table === 'erasures')
      .flatMap(block => block.rows ?? [])
  const said = () =>
    rows()
      .filter(row => row.order === undefined)
      .map(row => [row.store, row.done === null, row.found, row.removed, row.found_after].join(' '))
  return { task, erase, blocks, rows, said }
}

describe('an erasure', () => {
  it('E4: less consent orders nothing of the tables, says from when on, and leaves what comes after it', () => {
    const { task, rows, said } = setUp()
    task.send(impression('u', 'a', START, {}))
    task.commit()
    task.send(impression('u', 'b', START + MINUTE, { consent: 'contextual' }))
    task.send(impression('u', 'c', START + MINUTE, {}))
    task.send(impression('u', 'd', START + MINUTE + 1, {}))
    task.commit()
    expect(rows().filter(row => row.order !== undefined)).toEqual([])
    expect(rows().slice(0, 2)).toEqual(
      keys.map(key => ({
        pseudonym: named('u', key),
        asked: START + MINUTE,
        store: 'use',
        done: task.now,
        found: 0,
        removed: 0,
        found_after: 0,
        revision: 1,
      })),
    )
    const shown = task.commits[1].effects.blocks[0].rows ?? []
    expect(shown.map(row => [row.item, row.ts])).toEqual([['d', START + MINUTE + 1]])
    task.commit()
    expect(said().slice(4)).toEqual(['changelog false 2 2 0', 'redis false 2 2 0'])
  })

  it('E4: an erasure right after less consent orders all the same', () => {
    const { task, erase, rows } = setUp()
    task.send(impression('u', 'a', START, {}))
    task.commit()
    task.send(impression('u', 'b', START + MINUTE, { consent: 'none' }))
    erase('u', START)
    task.commit()
    const orders = rows().filter(row => row.order !== undefined)
    expect(orders.map(({ order }) => order)).toEqual(
      keys.map(() => ({ examples: START + MINUTE, slates: task.now })),
    )
  })

  it('E1, E3: orders the tables to remove all rows of before, under every key, behind them', () => {
    const { task, erase, blocks, rows } = setUp()
    task.send(impression('u', 'a', START, {}))
    task.commit()
    task.send(impression('u', 'b', START + MINUTE, {}))
    task.send(impression('v', 'b', START + MINUTE, {}))
    task.now += 5
    erase('u', START)
    const removedAt = task.now
    task.now += 5
    task.commit()
    const orders = rows().filter(row => row.order !== undefined)
    expect(orders).toEqual(
      keys.map(key => ({
        // the user's newest event, although it is newer than the erasure
        order: { examples: START + MINUTE, slates: removedAt },
        pseudonym: named('u', key),
        asked: START,
      })),
    )
    expect(blocks()[1].map(({ table }) => table)).toEqual(['examples', 'erasures'])
    expect(blocks()[1][0].rows?.map(row => row.user)).toEqual([named('v')])
  })

  it('E2: is said to be done once its commit is acknowledged, with what was found', () => {
    const { task, erase, said } = setUp()
    for (const item of ['a', 'b', 'c']) task.send(impression('u', item, START, {}))
    task.commit()
    erase('u', START + HOUR)
    task.commit()
    const asked = ['changelog true 4 0 4', 'redis true 2 0 2']
    expect(said()).toEqual(asked)
    task.commit()
    expect(said()).toEqual([...asked, 'changelog false 4 4 0', 'redis false 2 2 0'])
    task.commit()
    task.restart()
    task.commit()
    expect(said()).toHaveLength(4)
    erase('nobody', START + HOUR)
    task.commit()
    expect(said().slice(4)).toEqual(['changelog true 0 0 0', 'redis true 2 0 2'])
  })

  it.each([false, true])(
    'E2: is said by the next owner where the first one is lost (%s)',
    compacted => {
      const { task, erase, rows, said } = setUp()
      task.send(watch('u', 'a', START, 'p', 1_000))
      task.commit()
      erase('u', START + HOUR)
      task.commit()
      // lost before another commit
      task.restart(compacted)
      task.commit()
      expect(said().slice(2)).toEqual(['changelog false 1 1 0', 'redis false 2 2 0'])
      // the order stands in its block; it is not given again
      expect(rows().filter(row => row.order !== undefined)).toHaveLength(2)
      task.restart(compacted)
      task.send(impression('w', 'a', START + DAY / 2, {}))
      task.commit()
      expect(said()).toHaveLength(4)
      // nothing of the erased is left on the changelog, but that older events are not used
      const left = new Map<string, boolean>()
      for (const { records } of task.batches)
        for (const { key, value } of records)
          if (key && key[0] !== 0 && key.includes('\x01u'))
            left.set(key.toString('hex'), value !== null)
      expect(
        [...left].filter(([, there]) => there).map(([key]) => Number.parseInt(key.slice(0, 2), 16)),
      ).toEqual([8])
    },
  )
})
