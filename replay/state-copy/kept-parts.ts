/** What of a state a replay's tasks keep: the stores and channels of the topologies that it runs. */
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Application } from '../../streams/topology/stage.ts'

export interface KeptOfKind {
  readonly stores: ReadonlySet<number>
  readonly channels: ReadonlySet<number>
}

/** By kind of task. `counts`: number of tasks of each kind. */
export function keptParts(
  application: Application,
  counts: ReadonlyMap<string, number>,
): ReadonlyMap<string, KeptOfKind> {
  const around = { now: () => 0, metrics: noMetrics, log: silentLogger }
  const tables = new Map<string, unknown>()
  for (const spec of application.tables) tables.set(spec.name, spec.create(around))
  return new Map(
    application.kinds.map(kind => {
      const { stages } = kind.create({
        ...around,
        kind: kind.name,
        partition: 0,
        partitionsOf: name => counts.get(name) ?? 0,
        table: <T>(name: string) => tables.get(name) as T,
      })
      const kept = {
        stores: new Set(stages.flatMap(({ stores = [] }) => stores.map(({ spec }) => spec.id))),
        channels: new Set(stages.flatMap(({ receives = [] }) => receives.map(({ id }) => id))),
      }
      return [kind.name, kept]
    }),
  )
}
