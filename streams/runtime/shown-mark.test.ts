import { describe, expect, it } from 'vitest'
import { FreshetError } from '../errors.ts'
import { silentLogger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { ViewMark, ViewStore } from '../sinks.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import type { Stage, TaskKind } from '../topology/stage.ts'
import { type Commit, TaskCore } from './core.ts'
import { viewVersion } from './names.ts'
import { ShownMark } from './shown-mark.ts'

/** Keeps marks as a store does: the text of a key and of the mark, nothing else. */
class Store implements ViewStore {
  readonly name = 'the store'
  keys = new Map<string, string>()
  mark: { version: string; through: string } | undefined
  marks = 0
  waiting = () => undefined
  async close(): Promise<void> {}
  async write(writes: readonly ViewWrite[], version: string, mark?: ViewMark): Promise<void> {
    for (const { key } of writes) this.keys.set(key, version)
    if (!mark) return
    this.marks++
    if (this.mark && this.mark.version > version) return
    const known = this.mark ?? { version: '', through: '' }
    if (known.version < mark.fromVersion || known.through < mark.fromThrough) mark.lost()
    else this.mark = { version, through: mark.through }
  }
  empty(): void {
    this.keys = new Map()
    this.mark = undefined
  }
}

/** A task that shows the numbers it was given, and again three of them a commit. */
function setUp(store: Store, { token = 7, restored = 0, shown = 0 } = {}) {
  const clock = { at: 1_000_000 }
  const numbers = new Set<number>()
  const fresh: number[] = []
  let again: number[] | undefined
  const stage: Stage = {
    name: 'numbers',
    flush(out) {
      for (const n of [...fresh.splice(0), ...(again?.splice(0, 3) ?? [])])
        out.view({ op: 'json', key: `n${n}`, body: '}', ttlMs: 0 })
      if (again?.length === 0) again = undefined
    },
    refill() {
      again = [...numbers]
    },
    refilling: () => again !== undefined,
  }
  const kind: TaskKind = {
    name: 'toy',
    inputs: [],
    deltas: false,
    commitIntervalMs: 0,
    tables: [],
    create: () => ({ decode: () => 'skip', stages: [stage] }),
  }
  const core = new TaskCore({
    kind,
    partition: 0,
    generation: 1,
    outsideName: name => name,
    partitionsOf: () => 1,
    now: () => clock.at,
    wall: () => clock.at,
    table: () => {
      throw new FreshetError('BUG', 'there is no table')
    },
    metrics: noMetrics,
    log: silentLogger,
  })
  for (let n = 0; n < restored; n++) core.commit(true)
  core.shown = shown
  const lines: string[] = []
  const note = (_: object, text: string): void => void lines.push(text)
  const mark = new ShownMark({
    views: store,
    core,
    generation: 1,
    kind: 'toy',
    versionOf: commit => viewVersion(1, token, commit),
    clock: {
      now: () => clock.at,
      wall: () => clock.at,
      sleep: async () => undefined,
      turn: async () => undefined,
    },
    log: { info: note, warn: note, error: note },
    metrics: noMetrics,
    onFailure: error => {
      throw error
    },
  })
  const deliver = async (commit: Commit | undefined): Promise<void> => {
    const views = commit?.effects.views ?? []
    if (commit && views.length > 0) await mark.write(views, commit.number, commit.refilled)
  }
  return {
    core,
    lines,
    deliver,
    async show(...given: number[]): Promise<void> {
      for (const n of given) numbers.add(n)
      fresh.push(...given)
      await deliver(core.commit())
    },
    async look(): Promise<void> {
      clock.at += 5_000
      mark.look()
      await new Promise(resolve => setImmediate(resolve))
    },
  }
}

describe("a task's mark in the view store", () => {
  it('M1: nothing is written again as long as nothing was lost, by the next owner neither', async () => {
    const store = new Store()
    const first = setUp(store)
    await first.look()
    await first.show(1)
    await first.show(2)
    await first.look()
    expect(first.lines).toEqual([])
    expect(first.core.shown).toBe(2)
    const next = setUp(store, { token: 9, restored: 3, shown: 2 })
    await next.look()
    await next.show(3)
    expect(next.lines).toEqual([])
  })

  it('M2: writes all again in slices once it was lost, found by a write or by a look of an idle task', async () => {
    for (const found of ['write', 'look'] as const) {
      const store = new Store()
      const task = setUp(store)
      await task.show(1, 2, 3, 4, 5, 6, 7, 8)
      store.empty()
      if (found === 'look') await task.look()
      else await task.show(9)
      expect(task.lines).toHaveLength(1)
      for (let n = 0; n < 5; n++) await task.show()
      await task.look()
      expect([...store.keys.keys()].sort()).toEqual(
        [1, 2, 3, 4, 5, 6, 7, 8, ...(found === 'look' ? [] : [9])].map(n => `n${n}`),
      )
      expect(task.lines, 'one when it is seen, one when it is over').toHaveLength(2)
      await task.show(10)
      await task.look()
      expect(task.lines).toHaveLength(2)
    }
  })

  it('M2: leaves a refill that was not finished to the next owner', async () => {
    const store = new Store()
    const task = setUp(store)
    await task.show(1, 2, 3, 4, 5, 6, 7, 8)
    const { shown } = task.core
    store.empty()
    await task.look()
    await task.show()
    expect(store.keys.size).toBe(3)
    const next = setUp(store, { token: 9, restored: 3, shown })
    await next.look()
    expect(next.lines).toHaveLength(1)
  })

  it('M2: begins again where the store loses something in the middle of a refill', async () => {
    const store = new Store()
    const task = setUp(store)
    await task.show(1, 2, 3, 4, 5, 6, 7, 8)
    store.empty()
    await task.look()
    await task.show()
    const old = { keys: new Map(store.keys), mark: store.mark }
    await task.show()
    store.keys = old.keys
    store.mark = old.mark
    for (let n = 0; n < 6; n++) await task.show()
    await task.look()
    expect(store.keys.size).toBe(8)
  })

  it('M1: sees an older copy for what it is, also as the next owner', async () => {
    const store = new Store()
    const task = setUp(store)
    await task.show(1)
    const { mark } = store
    await task.show(2)
    store.mark = mark
    const next = setUp(store, { token: 9, restored: 2, shown: 2 })
    await next.look()
    expect(next.lines).toHaveLength(1)
    await task.show(3)
    expect(task.lines).toHaveLength(1)
  })

  it('is not called complete by a commit that was made before the loss was seen', async () => {
    const store = new Store()
    const task = setUp(store)
    await task.show(1, 2, 3, 4)
    store.empty()
    const before = task.core.commit(true)
    await task.look()
    await task.deliver(before && { ...before, effects: { ...before.effects, views: [view] } })
    expect(store.mark?.through).toBe('000001-0000000000000000')
    await task.show()
    await task.show()
    expect(store.mark?.through).toBe('000001-0000000000000004')
  })

  it('M3: looks no more often than every few seconds, and not while it writes', async () => {
    const store = new Store()
    const task = setUp(store)
    await task.show(1)
    await task.look()
    expect(store.marks).toBe(2)
  })
})

const view: ViewWrite = { op: 'json', key: 'n1', body: '}', ttlMs: 0 }
