/**
 * The recommender, put together: which stages run fused in which kind of task (docs/architecture.md). Constructs no client:
 * the command hands in what stages need.
 */
import { Decoder, type Encoder, type SchemaSource } from '../schemas/index.ts'
import type { Clock } from '../streams/clock.ts'
import { FreshetError } from '../streams/errors.ts'
import type { Application, Stage, TableSpec, TaskKind } from '../streams/topology/stage.ts'
import { createCovisitItemStage } from './covisit/item-stage.ts'
import { createCovisitUserStage } from './covisit/user-stage.ts'
import { createCatalogStage } from './items/catalog-stage.ts'
import { createItemDecode, type ItemEvent } from './items/decode.ts'
import { itemTableSpec } from './items/memory-table.ts'
import type { ItemTable } from './items/table.ts'
import { learnerKind } from './learner/topology.ts'
import { learnerUserStage } from './learner/user-stage.ts'
import type { TopologyOptions } from './options.ts'
import { createPopularityGlobalStage } from './popularity/global-stage.ts'
import { createPopularityItemStage } from './popularity/item-stage.ts'
import { createPopularityUserStage } from './popularity/user-stage.ts'
import { windowsTableSpec } from './popularity/windows-table.ts'
import { repeatAfterMs } from './sessions/options.ts'
import { createSessionsStage } from './sessions/stage.ts'
import { createUserDecode } from './user/decode.ts'
import type { UserEvent } from './user/event.ts'
import { UserTable } from './user/users.ts'

export const topologyNames = [
  'sessions',
  'labels',
  'popularity',
  'covisit',
  'learner',
  'topk',
  'drift',
] as const
export type TopologyName = (typeof topologyNames)[number]

export interface ApplicationSettings {
  readonly options: TopologyOptions
  readonly topologies: ReadonlySet<TopologyName>
  readonly schemas: SchemaSource
  readonly encoder: Encoder
  readonly clock: Clock
}

/** `all`, or names separated by commas. Errors: OPTION_INVALID names the one that there is not. */
export function parseTopologies(given: string): ReadonlySet<TopologyName> {
  if (given === 'all') return new Set(topologyNames)
  const names = given.split(',').map(name => name.trim())
  for (const name of names)
    if (!topologyNames.includes(name as TopologyName))
      throw new FreshetError(
        'OPTION_INVALID',
        `option topologies got ${JSON.stringify(name)}; it takes all, or some of ${topologyNames.join(', ')}`,
      )
  // sessions keeps the user that all others read
  return new Set(['sessions', ...names] as TopologyName[])
}

export function createApplication(settings: ApplicationSettings): Application {
  const { topologies, options } = settings
  const kinds: TaskKind[] = [userKind(settings) as TaskKind]
  const tables: TableSpec[] = []
  kinds.push(itemKind(settings) as TaskKind)
  tables.push(itemTableSpec(options))
  if (topologies.has('learner')) kinds.push(learnerKind(options) as TaskKind)
  else tables[0] = { ...tables[0], follows: ['item'] }
  if (topologies.has('popularity')) {
    kinds.push(globalKind(settings))
    tables.push(windowsTableSpec(options))
  }
  return { kinds, tables }
}

function userKind(settings: ApplicationSettings): TaskKind<UserEvent> {
  const { options, topologies, schemas, encoder, clock } = settings
  const events = new Decoder('events', schemas, clock)
  const erasures = new Decoder('erasures', schemas, clock)
  return {
    name: 'user',
    inputs: ['events', 'erasures'],
    deltas: false,
    commitIntervalMs: options['user.commitInterval'],
    tables: ['items'],
    create(ctx) {
      const items = ctx.table<ItemTable>('items')
      const users = new UserTable({
        items,
        gapMs: options['session.gap'],
        graceMs: options['late.grace'],
        repeatAfterMs: repeatAfterMs(options['topk.repeat']),
      })
      const stages: Stage<UserEvent>[] = [
        createSessionsStage(ctx, {
          users,
          features: options['session.features'] ? encoder : undefined,
          views: options['session.views'],
          minIntervalMs: options['session.redis.minInterval'],
          lateDeadLetters: options['late.deadLetters'],
          surfaces: ['home'],
        }),
      ]
      if (topologies.has('popularity')) stages.push(createPopularityUserStage(ctx))
      if (topologies.has('covisit')) stages.push(createCovisitUserStage(ctx))
      if (topologies.has('learner')) stages.push(learnerUserStage(items))
      return { decode: createUserDecode(ctx, { events, erasures }), stages }
    },
  }
}

function itemKind(settings: ApplicationSettings): TaskKind<ItemEvent> {
  const { options, topologies, schemas, clock } = settings
  const decoder = new Decoder('items', schemas, clock)
  return {
    name: 'item',
    inputs: ['items'],
    deltas: true,
    commitIntervalMs: options['item.commitInterval'],
    tables: ['items'],
    create(ctx) {
      const place = { partition: ctx.partition, partitions: ctx.partitionsOf('item') }
      const decode = createItemDecode(place, decoder)
      const stages: Stage<ItemEvent>[] = [createCatalogStage(ctx, options)]
      if (topologies.has('popularity')) stages.push(createPopularityItemStage(ctx, options))
      if (topologies.has('covisit')) stages.push(createCovisitItemStage(ctx, options))
      return { decode: (_topic, record) => decode(record), stages }
    },
  }
}

function globalKind(settings: ApplicationSettings): TaskKind {
  return {
    name: 'global',
    inputs: [],
    partitions: 1,
    deltas: false,
    commitIntervalMs: settings.options['global.commitInterval'],
    tables: ['items', 'windows'],
    create(ctx) {
      return { decode: () => 'skip', stages: [createPopularityGlobalStage(ctx)] }
    },
  }
}
