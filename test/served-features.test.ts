/**
 * Features as served, through the user task and the real ClickHouse engine: what stands in `examples` is what the list was
 * ranked by, as an independent look over the scorer's shoulder computed it then.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import { noMetrics } from '../streams/metrics.ts'
import { resolveOptions } from '../streams/options.ts'
import { viewVersion } from '../streams/runtime/names.ts'
import { randomFrom } from '../streams/serde/hash.ts'
import { FeatureRows } from '../topologies/blend/feature-rows.ts'
import { featureCount, featureHash } from '../topologies/blend/features.ts'
import { BlendScorer } from '../topologies/blend/scorer.ts'
import { createLabelsStage } from '../topologies/labels/stage.ts'
import { ServedFeatures } from '../topologies/served/features.ts'
import { ServedMemory } from '../topologies/served/memory.ts'
import { Recompute } from '../topologies/served/recompute.ts'
import { FakeItems } from '../topologies/topk/fakes.ts'
import { topkOptions } from '../topologies/topk/options.ts'
import type { Evidence, Scorer } from '../topologies/topk/score.ts'
import { createTopkStage } from '../topologies/topk/stage.ts'
import { madeTables } from './support/tables.ts'
import { GAP, impression, MINUTE, START, UserTask, watch } from './support/user-task.ts'

/** By item index. */
type Ranked = ReadonlyMap<number, Float32Array>

interface ShownList {
  readonly user: string
  readonly version: string
  readonly items: readonly number[]
  readonly ranked: Ranked
}

/** Scores as the blend does and computes the features of every candidate itself. */
class Watched implements Scorer {
  readonly model = ''
  private readonly blend: BlendScorer
  private readonly rows = new FeatureRows()
  private readonly seen: Ranked[]

  constructor(capacity: number, seen: Ranked[]) {
    this.blend = new BlendScorer(capacity)
    this.seen = seen
  }

  get name(): string {
    return this.blend.name
  }

  get matrix(): Float32Array | undefined {
    return this.blend.matrix
  }

  score(evidence: Evidence, logits: Float64Array): void {
    const { ask, candidates } = evidence
    this.rows.begin(ask, evidence, ask.items.blend.tasteMeans)
    const ranked = new Map<number, Float32Array>()
    for (let i = 0; i < candidates.count; i++) {
      const row = new Float32Array(featureCount)
      this.rows.write(candidates.items[i], row, 0)
      ranked.set(candidates.items[i], row)
    }
    this.seen.push(ranked)
    this.blend.score(evidence, logits)
    // these are not drawn from: the ranked stand elsewhere than among the candidates
    for (const refused of [0, 5]) logits[refused] = Number.NaN
  }
}

function setUp(learnt = 1_000, servedBytes = 1 << 24, recomputes = false) {
  const seen: Ranked[] = []
  const random = randomFrom(3)
  const weights = Float64Array.from({ length: 8 * featureCount }, () => random() - 0.4)
  const { values: options } = resolveOptions(topkOptions, { flags: {}, environment: {}, file: {} })
  const task = new UserTask({
    items: () => {
      const items = new FakeItems({ items: 300, seed: 5 })
      items.blend.learnt = learnt
      items.blend.sets.set(weights.subarray(0, items.blend.sets.length))
      return items
    },
    stages: (ctx, users) => {
      const served = new ServedFeatures({
        memory: new ServedMemory(servedBytes),
        now: () => ctx.now(),
        gapMs: GAP,
        metrics: noMetrics,
        recompute: recomputes ? new Recompute(ctx.table('items'), options) : undefined,
      })
      users.onRemove.push(user => served.forget(user.id))
      return [
        createLabelsStage(ctx, {
          users,
          times: {
            startWithinMs: 10 * MINUTE,
            joinWithinMs: 30 * MINUTE,
            silenceMs: 5 * MINUTE,
            longestMs: 240 * MINUTE,
            returnWithinMs: 0,
          },
          objectives: { click: 0, graded: 1, completion: 0.3, return1d: 0 },
          feedback: {},
          slackMs: 0,
          examples: true,
          served,
          pseudonymKey: 'the key of this test',
          pseudonymKeyId: 'k1',
        }),
        createTopkStage(ctx, {
          users,
          options,
          activeMs: GAP,
          served,
          models: { scorer: capacity => new Watched(capacity, seen), flush: () => undefined },
        }),
      ]
    },
  })
  task.now = START
  /** Makes the lists that are due, and lets them leave. */
  const commit = (): ShownList[] => {
    task.now += 600
    seen.length = 0
    task.tick()
    const made = task.commit()
    const views = (made?.effects.views ?? []).filter(view => view.key.startsWith('topk:'))
    expect(views).toHaveLength(seen.length)
    return views.map((view, n) => {
      if (view.op !== 'json') throw new Error(`${view.key} is ${view.op}`)
      const body = JSON.parse(`{${view.body}`) as { user: string; items: { id: string }[] }
      return {
        user: body.user,
        version: viewVersion(1, 0, made!.number),
        items: body.items.map(item => Number(item.id)),
        ranked: seen[n],
      }
    })
  }
  const show = (list: ShownList, position: number, more = {}): string => {
    const requestId = `${list.user}/${list.version}/${position}`
    const item = String(list.items[position]).padStart(7, '0')
    const of = { listVersion: list.version, listIndex: position, position, requestId, ...more }
    task.send(impression(list.user, item, task.now, of))
    return requestId
  }
  const play = (user: string, item: number, requestId: string | null = null): void => {
    const id = String(item).padStart(7, '0')
    const name = `${user} ${item} ${task.now}`
    task.send(watch(user, id, task.now, name, 40_000, { requestId, durationMs: 60_000 }))
  }
  const rows = () =>
    task.commits.flatMap(({ effects }) =>
      effects.blocks.filter(({ table }) => table === 'examples').flatMap(block => block.rows ?? []),
    )
  const newest = (requestId: string) =>
    rows()
      .filter(row => row.request === requestId)
      .at(-1)
  return { task, commit, show, play, rows, newest }
}

const folder = mkdtempSync(join(tmpdir(), 'freshet-served-'))
let store: ClickHouseStore
beforeAll(async () => {
  store = await madeTables(folder)
})
afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('examples', () => {
  it('have the features that the list was ranked by, bit by bit, also of a list that was replaced', async () => {
    const { task, commit, show, play, rows } = setUp()
    const asServed = new Map<string, Float32Array>()
    const random = randomFrom(11)
    const lists: ShownList[] = []
    for (const user of ['a', 'b', 'c']) play(user, Math.floor(random() * 300))
    for (let round = 0; round < 30; round++) {
      lists.push(...commit())
      // each reader pages through the list that it fetched some rounds ago
      for (const user of ['a', 'b', 'c']) {
        const own = lists.filter(list => list.user === user).slice(-4)
        const list = own[Math.floor(random() * own.length)]
        const position = Math.floor(random() * list.items.length)
        const requestId = show(list, position)
        asServed.set(requestId, list.ranked.get(list.items[position])!)
        if (random() < 0.5) play(user, list.items[position], requestId)
      }
    }
    // every label is final
    task.now += 300 * MINUTE
    play('other', 1)
    commit()
    commit()
    expect(asServed.size).toBeGreaterThan(60)
    await store.insert('examples', rows())
    const read = await store.query<{
      request: string
      feature_hash: string
      bits: number[]
      label: number | null
    }>(
      'SELECT request, feature_hash, label, arrayMap(x -> reinterpretAsUInt32(x), features) AS bits FROM freshet.v_examples',
    )
    expect(read).toHaveLength(asServed.size)
    for (const { request, feature_hash, bits, label } of read) {
      expect(feature_hash).toBe(featureHash)
      expect(label).not.toBeNull()
      const expected = asServed.get(request)!.map(x => (x === 0 ? 0 : x))
      expect(bits.map(Number)).toEqual([...new Uint32Array(expected.buffer)])
    }
    // the same item in another list has other features: what is recomputed later is not what was served
    const [first, last] = [lists[0], lists.filter(list => list.user === lists[0].user).at(-1)!]
    const both = first.items.find(item => last.ranked.has(item))!
    expect(last.ranked.get(both)).not.toEqual(first.ranked.get(both))
  })

  it('have none after a restart, where nothing was computed, and of the list of another', () => {
    const { task, commit, show, play, newest } = setUp()
    play('a', 1)
    const [list] = commit()
    const before = show(list, 0)
    commit()
    expect(newest(before)).toMatchObject({ feature_hash: featureHash, label: null })
    task.restart()
    const after = show(list, 1)
    const cohort = show(list, 2, { listVersion: null })
    task.now += 300 * MINUTE
    play('other', 1)
    commit()
    for (const [requestId, label] of [
      [before, 0],
      [after, 0],
      [cohort, 0],
    ] as const)
      expect(newest(requestId)).toMatchObject({ features: [], feature_hash: '', label })
    const mix = setUp(10)
    mix.play('a', 1)
    const unranked = mix.show(mix.commit()[0], 0)
    mix.commit()
    expect(mix.newest(unranked)).toMatchObject({ features: [], feature_hash: '' })
  })

  it('S4: where they are recomputed: those of now, bit by bit, until there is a list that stands for the one shown', () => {
    const { task, commit, show, play, newest } = setUp(1_000, 1 << 24, true)
    play('a', 1)
    play('a', 2)
    const [elsewhere] = commit()
    const { items } = elsewhere
    task.restart()
    // no list is known here
    const anew = [0, 3, 9].map(position => show(elsewhere, position))
    const [own] = commit()
    for (const [k, position] of [0, 3, 9].entries()) {
      const row = own.ranked.get(items[position])
      expect(newest(anew[k])).toMatchObject({ feature_hash: featureHash })
      expect(newest(anew[k])?.features).toEqual([...row!].map(x => (x === 0 ? 0 : x)))
    }
    // from now on the newest list stands for it, and goes on to after it was replaced
    const both = own.items.filter(item => ![-1, 0, 3, 9].includes(items.indexOf(item)))
    const known = show(elsewhere, items.indexOf(both[0]))
    play('a', 7)
    commit()
    const later = show(elsewhere, items.indexOf(both[1]))
    const unknown = show(elsewhere, 40, { listVersion: null })
    commit()
    for (const [requestId, item] of [
      [known, both[0]],
      [later, both[1]],
    ] as const)
      expect(newest(requestId)?.features).toEqual(
        [...own.ranked.get(item)!].map(x => (x === 0 ? 0 : x)),
      )
    expect(newest(unknown)).toMatchObject({ features: [], feature_hash: '' })
  })

  it('have none of a list that had to make room', () => {
    const { commit, show, play, newest } = setUp(1_000, 30_000)
    for (let n = 0; n < 20; n++) play(`u${n}`, n)
    const lists = commit()
    expect(lists).toHaveLength(20)
    const [oldest, last] = [show(lists[0], 0), show(lists[19], 0)]
    commit()
    expect(newest(oldest)).toMatchObject({ features: [], feature_hash: '' })
    expect(newest(last)).toMatchObject({ feature_hash: featureHash })
  })
})
