import { expect, it } from 'vitest'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { TaskContext } from '../../streams/topology/stage.ts'
import type { Row } from '../../streams/topology/store.ts'
import { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { learnerStores } from '../../topologies/learner/rows.ts'
import { learnerKind } from '../../topologies/learner/topology.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { withoutUnread } from './unread.ts'

const { values: options } = resolveOptions(topologyOptions, {
  flags: {},
  environment: {},
  file: {},
})
const row: Row = { dirty: false, removed: false }

function learner(quiet: boolean) {
  const items = new MemoryItemTable(options, undefined)
  const kind = learnerKind(options)
  const ctx = { now: () => 0, table: () => items, metrics: noMetrics } as unknown as TaskContext
  const { stages } = (quiet ? withoutUnread(kind as never) : kind).create(ctx)
  const written = (id: number) => {
    const w = new ByteWriter()
    const stores = stages.flatMap(stage => stage.stores ?? [])
    stores.find(({ spec }) => spec.id === id)?.spec.writeValue(row, w)
    return w.copy()
  }
  return { items, written }
}

it('the curvature of the blend is not written, its weights are as ever', () => {
  const [loud, quiet] = [learner(false), learner(true)]
  expect(loud.written(learnerStores.blendState).length).toBeGreaterThan(10_000)
  expect(quiet.written(learnerStores.blendState).length).toBe(0)
  expect(quiet.written(learnerStores.blend)).toEqual(loud.written(learnerStores.blend))
})

it('no table reads what is not written', () => {
  const { items, written } = learner(false)
  const key = new ByteReader(Buffer.alloc(0))
  const value = new ByteReader(written(learnerStores.blendState))
  items.apply('learner', 0, learnerStores.blendState, key, value)
  expect(value.position).toBe(0)
})
