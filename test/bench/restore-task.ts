/** The user task of the restore bench: the real core, sessions stage and table, over the real item table. */

import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { TaskCore } from '../../streams/runtime/core.ts'
import type { Stage, TaskLogic } from '../../streams/topology/stage.ts'
import { itemTableSpec } from '../../topologies/items/memory-table.ts'
import type { ItemTable } from '../../topologies/items/table.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { createSessionsStage } from '../../topologies/sessions/stage.ts'
import { defaultFactors, parseCreatorWeights } from '../../topologies/user/creator-weights.ts'
import type { UserEvent } from '../../topologies/user/event.ts'
import { UserTable } from '../../topologies/user/users.ts'

const { values: options } = resolveOptions(topologyOptions, {
  flags: {},
  environment: {},
  file: {},
})

/** The item table of a process, shared by its tasks. */
export function openItems(): ItemTable {
  const spec = itemTableSpec(options)
  return spec.create({
    now: Date.now,
    metrics: noMetrics,
    log: silentLogger,
  }) as unknown as ItemTable
}

export interface BenchTask {
  readonly core: TaskCore
  readonly users: UserTable
}

export function openTask(
  partition: number,
  items: ItemTable,
  decode: TaskLogic<UserEvent>['decode'],
): BenchTask {
  let users: UserTable | undefined
  const core = new TaskCore({
    kind: {
      name: 'user',
      inputs: ['events'],
      deltas: false,
      commitIntervalMs: 100,
      tables: ['items'],
      create: ctx => {
        users = new UserTable({
          items,
          gapMs: options['session.gap'],
          graceMs: options['late.grace'],
          repeatAfterMs: Number.POSITIVE_INFINITY,
          creatorWeights: parseCreatorWeights(defaultFactors),
        })
        const sessions = createSessionsStage(ctx, {
          users,
          features: undefined,
          views: false,
          minIntervalMs: options['session.redis.minInterval'],
          lateDeadLetters: false,
          surfaces: options['topk.surfaces'],
        })
        return { decode: decode as TaskLogic['decode'], stages: [sessions as Stage] }
      },
    },
    partition,
    generation: 1,
    outsideName: topic => topic,
    partitionsOf: () => 1,
    now: Date.now,
    wall: Date.now,
    table: <T>() => items as T,
    metrics: noMetrics,
    log: silentLogger,
  })
  return { core, users: users as unknown as UserTable }
}
