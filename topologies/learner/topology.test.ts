import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { responseOptions } from '../response/options.ts'
import { contextOf } from '../topk/fakes.ts'
import type { UserEvent } from '../user/event.ts'
import type { User } from '../user/user.ts'
import { learnerOptions } from './options.ts'
import { positivesChannel, writePositive } from './positive.ts'
import { learnerStores, readVectorRow, vectorDimension } from './rows.ts'
import { learnerKind, learnerStage } from './topology.ts'
import { learnerUserStage } from './user-stage.ts'

const d = vectorDimension
const options = resolveOptions(
  { ...learnerOptions, ...responseOptions },
  { flags: {}, environment: {}, file: {} },
).values

class FakeItems {
  ids: string[] = []
  contents = new Map<string, Float32Array>()
  index(id: string): number {
    const known = this.ids.indexOf(id)
    return known >= 0 ? known : this.ids.push(id) - 1
  }
  idOf(index: number): string {
    return this.ids[index]
  }
  content(index: number): Float32Array | undefined {
    return this.contents.get(this.ids[index])
  }
  /** The blend learns nothing of items that are not known to it. */
  positives(): number {
    return 0
  }
  newest(n: number): number[] {
    return this.ids.map((_, index) => index).slice(0, n)
  }
}

const context = (items: FakeItems, clock: { now: number }) => contextOf('learner', items, clock)

/** What the runtime does at a commit: takes the dirty rows and writes them. */
function rowsOf(stage: Stage<never>): { store: number; key: Buffer; value: Buffer }[] {
  stage.flush?.({} as Outbox)
  return (stage.stores as unknown as readonly Store<Row>[]).flatMap(store =>
    store.take(1e9).map(row => {
      const key = new ByteWriter()
      const value = new ByteWriter()
      store.spec.writeKey(row, key)
      store.spec.writeValue(row, value)
      return { store: store.spec.id, key: key.copy(), value: value.copy() }
    }),
  )
}

function restore(stage: Stage<never>, rows: ReturnType<typeof rowsOf>): void {
  for (const row of rows)
    (stage.stores as unknown as readonly Store<Row>[])
      .find(store => store.spec.id === row.store)
      ?.spec.restore(new ByteReader(row.key), new ByteReader(row.value))
}

function packet(seed: number, n: number, items = 50): ByteReader {
  const random = randomFrom(seed)
  const w = new ByteWriter()
  for (let i = 0; i < n; i++) {
    const ids = Array.from({ length: 1 + Math.floor(random() * 8) }, () =>
      String(Math.floor(random() * items)),
    )
    writePositive({ user: i, ts: 1.7e12 + i, bucket: 1, ids, count: ids.length }, w)
  }
  return new ByteReader(w.copy())
}

const vectorRows = (rows: ReturnType<typeof rowsOf>) =>
  rows.filter(row => row.store === learnerStores.vectors)

describe('the learner', () => {
  it('is one task without outside input', () => {
    const kind = learnerKind(options)
    expect(kind).toMatchObject({ name: 'learner', inputs: [], partitions: 1, deltas: true })
    const logic = kind.create(context(new FakeItems(), { now: 0 }))
    expect(logic.stages.map(stage => stage.name)).toEqual(['learner', 'response'])
  })

  it('publishes the same rows for the same positives, whatever packets they came in', () => {
    const clock = { now: 0 }
    const whole = learnerStage(options, context(new FakeItems(), clock))
    whole.receive?.(positivesChannel, packet(1, 300))
    const parts = learnerStage(options, context(new FakeItems(), clock))
    const all = packet(1, 300)
    const one = new ByteWriter()
    while (all.left > 0) {
      // positives are self-delimiting: cut the packet after each
      const start = all.position
      const probe = new ByteReader(all.buffer, start)
      const cut = nextPositive(probe)
      one.reset().raw(all.buffer.subarray(start, cut))
      parts.receive?.(positivesChannel, new ByteReader(one.copy()))
      all.position = cut
    }
    expect(rowsOf(parts)).toEqual(rowsOf(whole))
  })

  it('publishes an item again only once it moved beyond the threshold', () => {
    const stage = learnerStage(options, context(new FakeItems(), { now: 0 }))
    stage.receive?.(positivesChannel, packet(1, 2_000))
    expect(vectorRows(rowsOf(stage)).length).toBe(50)
    stage.receive?.(positivesChannel, packet(2, 1))
    const few = vectorRows(rowsOf(stage)).length
    expect(few).toBeLessThan(5)
    stage.receive?.(positivesChannel, packet(3, 2_000))
    expect(vectorRows(rowsOf(stage)).length).toBeGreaterThan(45)
    expect(vectorRows(rowsOf(stage)).length).toBe(0)
  })

  it('goes on from its rows: the same number, vectors as published', () => {
    const clock = { now: 0 }
    const first = learnerStage(options, context(new FakeItems(), clock))
    first.receive?.(positivesChannel, packet(1, 1_000))
    const rows = rowsOf(first)
    const second = learnerStage(options, context(new FakeItems(), clock))
    restore(second, rows)
    expect(rowsOf(second)).toEqual([])
    for (const stage of [first, second]) stage.receive?.(positivesChannel, packet(2, 500))
    const [a, b] = [first, second].map(
      stage => new Map(rowsOf(stage).map(r => [`${r.store} ${r.key}`, r.value])),
    )
    expect(b.get('2 ')).toEqual(a.get('2 '))
    expect(b.get('2 ')).toBeDefined()
    expect(b.size).toBeGreaterThan(20)
  })

  it('samples above its rate but numbers every positive', () => {
    const stage = learnerStage(
      { ...options, 'learner.maxPerSecond': 50 },
      context(new FakeItems(), { now: 0 }),
    )
    stage.receive?.(positivesChannel, packet(1, 5_000, 100_000))
    const rows = rowsOf(stage)
    const progress = rows.find(row => row.store === learnerStores.progress)!
    expect(new ByteReader(progress.value).uint()).toBe(5_000)
    // about 50 (1 + ln 100) positives of at most 8 items and 20 negatives among them
    expect(vectorRows(rows).length).toBeLessThan(50 * 5.6 * 8)
  })

  it('starts a new item with content at the mean of its nearest by content', () => {
    const items = new FakeItems()
    const clock = { now: 0 }
    const stage = learnerStage(options, context(items, clock))
    stage.receive?.(positivesChannel, packet(1, 4_000, 250))
    const unit = (i: number) => new Float32Array([Math.cos(i / 250), Math.sin(i / 250)])
    for (let i = 0; i < 250; i++) {
      items.index(String(i))
      items.contents.set(String(i), unit(i))
    }
    items.index('new')
    items.contents.set('new', unit(100.1))
    expect(stage.tick?.(5)).toBe(false)
    const rows = new Map(vectorRows(rowsOf(stage)).map(row => [row.key.toString(), row.value]))
    const read = (id: string) => {
      const c = new Float32Array(d)
      const q = new Float32Array(d)
      readVectorRow(new ByteReader(rows.get(id)!), c, q, 0)
      return { c, q }
    }
    const nearest = [96, 97, 98, 99, 100, 101, 102, 103, 104, 105].map(i => read(String(i)))
    const started = read('new')
    for (let i = 0; i < d; i++) {
      expect(started.q[i]).toBeCloseTo(nearest.reduce((sum, x) => sum + x.q[i], 0) / 10, 2)
      expect(started.c[i]).toBeCloseTo(nearest.reduce((sum, x) => sum + x.c[i], 0) / 10, 2)
    }
  })

  it('gives no start while too few items are learnt', () => {
    const items = new FakeItems()
    const stage = learnerStage(options, context(items, { now: 0 }))
    items.index('new')
    items.contents.set('new', new Float32Array([1, 0]))
    expect(stage.tick?.(5)).toBe(false)
    expect(rowsOf(stage)).toEqual([])
  })
})

function nextPositive(payload: ByteReader): number {
  payload.u8()
  payload.uint()
  payload.uint()
  payload.u8()
  const count = payload.u8()
  for (let i = 0; i < count; i++) payload.string()
  return payload.position
}

describe('the user side', () => {
  const items = { idOf: (index: number) => `i${index}` }
  const user = (history: number[]): User =>
    ({
      positives: {
        length: history.length,
        item: (k: number) => history[k],
        at: (k: number) => 1_000_000 - k * 1_000,
      },
    }) as unknown as User
  const event = (facts: Record<string, unknown>): UserEvent =>
    ({
      kind: 'watch',
      userId: 'u',
      ts: 1_000_000,
      firstPositive: true,
      ...facts,
    }) as unknown as UserEvent

  it('sends first positives of stored users with the 24 items before', () => {
    const stage = learnerUserStage({ items, isHeldOut: () => false })
    const sent = new ByteWriter()
    const out = { delta: () => sent } as unknown as Outbox
    stage.process?.(event({ user: user([9]), firstPositive: false }))
    stage.process?.(event({ user: null }))
    stage.flush?.(out)
    expect(sent.length).toBe(0)
    stage.process?.(event({ user: user([9]) }))
    stage.process?.(event({ user: user(Array.from({ length: 40 }, (_, k) => k)) }))
    stage.flush?.(out)
    stage.flush?.(out)
    const payload = new ByteReader(sent.copy())
    const got: string[][] = []
    while (payload.left > 0) {
      payload.u8()
      payload.uint()
      expect(payload.uint()).toBe(1_000_000)
      payload.u8()
      got.push(Array.from({ length: payload.u8() }, () => payload.string()))
    }
    expect(got).toEqual([['i9'], Array.from({ length: 25 }, (_, k) => `i${k}`)])
  })

  it('asks for a commit at a mebibyte, and cuts what waits into packets of 256 positives', () => {
    const longIds = { idOf: (index: number) => `${index}`.padStart(250, '0') }
    const stage = learnerUserStage({ items: longIds, isHeldOut: user => user === 'held' })
    const sent: ByteWriter[] = []
    const out = {
      delta: (_channel: unknown, _partition: number, part: number) => {
        sent[part] = new ByteWriter()
        return sent[part]
      },
    } as unknown as Outbox
    let n = 0
    while (!stage.full?.() && n < 10_000) {
      stage.process?.(event({ user: user([n, ...Array.from({ length: n % 30 }, (_, k) => k)]) }))
      stage.process?.(event({ user: user([0]), userId: 'held' }))
      n++
    }
    // a commit has 8 MiB, other packets and the rows beside
    expect(n).toBeGreaterThan(256)
    expect(n).toBeLessThan(1_000)
    stage.flush?.(out)
    expect(stage.full?.()).toBe(false)
    const counts = sent.map(w => {
      const payload = new ByteReader(w.copy())
      let positives = 0
      for (; payload.left > 0; positives++) payload.position = nextPositive(payload)
      return positives
    })
    expect(counts).toEqual([256, n - 256])
  })
})
