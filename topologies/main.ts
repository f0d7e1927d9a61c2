/**
 * The recommender, put together: which stages run fused in which kind of task (docs/architecture.md). Constructs no client:
 * the command hands in what stages need.
 */
import { Decoder, type Encoder, type SchemaSource } from '../schemas/index.ts'
import type { Clock } from '../streams/clock.ts'
import { FreshetError } from '../streams/errors.ts'
import type { Application, Stage, TableSpec, TaskKind } from '../streams/topology/stage.ts'
import { alertRules } from './alerts/rules.ts'
import { createCovisitUserStage } from './covisit/user-stage.ts'
import { itemVectorsStage } from './drift/embeddings/stage.ts'
import { featuresOf } from './drift/options.ts'
import type { ReferenceBook } from './drift/reference-book.ts'
import { createStatisticsKind } from './drift/topology.ts'
import { createDriftUserStage } from './drift/user-stage.ts'
import { createErasureStage } from './erasure/stage.ts'
import { evaluationStatisticsStage, evaluationUserStage } from './evaluation/topology.ts'
import { ExperimentBook } from './experiments/book.ts'
import { experimentsStatisticsStage, experimentsUserStage } from './experiments/topology.ts'
import { itemTableSpec } from './items/memory-table.ts'
import type { ItemTable } from './items/table.ts'
import { itemKind } from './items/topology.ts'
import { labelTimes } from './labels/options.ts'
import { pseudonym } from './labels/pseudonym.ts'
import { createLabelsStage } from './labels/stage.ts'
import { learnerKind } from './learner/topology.ts'
import { learnerUserStage } from './learner/user-stage.ts'
import type { ModelHost } from './models/host.ts'
import { rankingModels } from './models/scorer.ts'
import type { TopologyOptions } from './options.ts'
import { createPopularityGlobalStage } from './popularity/global-stage.ts'
import { createPopularityUserStage } from './popularity/user-stage.ts'
import { windowsTableSpec } from './popularity/windows-table.ts'
import { qualityStatisticsStage, qualityUserStage } from './quality/topology.ts'
import { answerLook } from './response/look.ts'
import { responseUserStage } from './response/user-stage.ts'
import { ServedFeatures } from './served/features.ts'
import { ServedMemory } from './served/memory.ts'
import { Recompute } from './served/recompute.ts'
import { repeatAfterMs } from './sessions/options.ts'
import { createSessionsStage } from './sessions/stage.ts'
import { cohortPopularity } from './topk/cohort-popularity.ts'
import { createCohortStage } from './topk/cohort-stage.ts'
import { isHoldout } from './topk/exploration.ts'
import { attributesOf } from './topk/groups.ts'
import { createTopkStage } from './topk/stage.ts'
import { surfacePolicies } from './topk/surfaces.ts'
import { parseCreatorWeights } from './user/creator-weights.ts'
import { createUserDecode, type UserDecodeDeps } from './user/decode.ts'
import type { UserEvent } from './user/event.ts'
import type { Users } from './user/user.ts'
import { UserMemory } from './user/user-memory.ts'
import { UserTable } from './user/users.ts'

export const topologyNames = [
  'sessions',
  'labels',
  'popularity',
  'covisit',
  'learner',
  'topk',
  'drift',
  'quality',
  'evaluation',
  'experiments',
] as const
export type TopologyName = (typeof topologyNames)[number]

export interface ApplicationSettings {
  readonly options: TopologyOptions
  readonly topologies: ReadonlySet<TopologyName>
  readonly schemas: SchemaSource
  readonly encoder: Encoder
  readonly clock: Clock
  /** Pushed models that rank; without it the blend alone does. */
  readonly models?: ModelHost
  /** References of drift that were set by hand. */
  readonly references?: ReferenceBook
  /** Followed from their topic; without it only the built-in one is known. */
  readonly experiments?: ExperimentBook
  /** Of ClickHouse, named in the queries of alerts; 'freshet' where it is not given. */
  readonly database?: string
  /** Told the users of each task that is created: for replays that look on. */
  readonly onUsers?: (partition: number, users: Users) => void
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
  const needed: TopologyName[] = ['sessions']
  // figures are made of labels, in windows that drift closes
  const figures = ['quality', 'evaluation', 'experiments']
  if (figures.some(name => names.includes(name))) needed.push('labels', 'drift')
  return new Set([...needed, ...(names as TopologyName[])])
}

export function createApplication(settings: ApplicationSettings): Application {
  const { topologies, options } = settings
  // files that do not fit are refused before anything runs
  surfacePolicies(options)
  const rules = alertRules(options)
  const { schemas, clock } = settings
  const decoders = {
    events: new Decoder('events', schemas, clock),
    erasures: new Decoder('erasures', schemas, clock),
    items: new Decoder('items', schemas, clock),
  }
  const book = settings.experiments ?? new ExperimentBook(options)
  const kinds: TaskKind[] = [userKind(settings, decoders, book) as TaskKind]
  const tables: TableSpec[] = []
  kinds.push(
    itemKind(options, decoders.items, {
      popularity: topologies.has('popularity'),
      covisit: topologies.has('covisit'),
    }) as TaskKind,
  )
  tables.push(itemTableSpec(options, attributesOf(options['topk.policies'])))
  if (topologies.has('learner')) kinds.push(learnerKind(options) as TaskKind)
  else tables[0] = { ...tables[0], follows: ['item'] }
  if (topologies.has('drift')) {
    const further = topologies.has('quality') ? [qualityStatisticsStage(options)] : []
    if (topologies.has('evaluation')) further.push(evaluationStatisticsStage(options))
    if (topologies.has('experiments')) further.push(experimentsStatisticsStage(options, book))
    if (topologies.has('learner')) further.push(itemVectorsStage(options))
    const read = topologies.has('learner') ? ['items'] : []
    const alerts = { rules, database: settings.database ?? 'freshet' }
    kinds.push(
      createStatisticsKind(options, further, alerts, settings.references, read) as TaskKind,
    )
  }
  if (topologies.has('popularity')) {
    kinds.push(globalKind(settings))
    tables.push(windowsTableSpec(options))
  }
  return { kinds, tables, waiting: () => waitingOf(Object.values(decoders)) }
}

/** What the decoders wait for: schema ids that the registry does not give. */
function waitingOf(decoders: readonly { waiting(): string | null }[]): string | undefined {
  const all = decoders.map(decoder => decoder.waiting()).filter(what => what !== null)
  return all.length === 0 ? undefined : all.join('; ')
}

function userKind(
  settings: ApplicationSettings,
  { events, erasures }: UserDecodeDeps,
  book: ExperimentBook,
): TaskKind<UserEvent> {
  const { options, topologies, encoder } = settings
  const memory = new UserMemory(options['user.unpacked'])
  const servedMemory = new ServedMemory(options['examples.servedBytes'])
  const asksServed =
    (topologies.has('labels') && options['labels.examples']) ||
    (topologies.has('drift') && featuresOf(options['drift.features']).length > 0)
  const keepsServed = topologies.has('topk') && asksServed
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
        creatorWeights: parseCreatorWeights(options['feedback.creators']),
        memory,
      })
      settings.onUsers?.(ctx.partition, users)
      const served = keepsServed
        ? new ServedFeatures({
            memory: servedMemory,
            now: () => ctx.now(),
            gapMs: options['session.gap'],
            metrics: ctx.metrics,
            recompute: options['served.recompute'] ? new Recompute(items, options) : undefined,
          })
        : undefined
      if (served) users.onRemove.push(user => served.forget(user.id))
      const isHeldOut = (userId: string): boolean => isHoldout(userId, options)
      const responses =
        topologies.has('labels') && topologies.has('learner')
          ? responseUserStage({ items, isHeldOut })
          : undefined
      const quality = topologies.has('quality') ? qualityUserStage(options, ctx, users) : undefined
      const evaluation =
        topologies.has('evaluation') && topologies.has('topk')
          ? evaluationUserStage(options, ctx, users)
          : undefined
      const experiments = topologies.has('experiments')
        ? experimentsUserStage(options, ctx, users, book)
        : undefined
      const drift = topologies.has('drift') ? createDriftUserStage(options, ctx, served) : undefined
      const stages: Stage<UserEvent>[] = [
        createSessionsStage(ctx, {
          users,
          features: options['session.features'] ? encoder : undefined,
          views: options['session.views'],
          minIntervalMs: options['session.redis.minInterval'],
          lateDeadLetters: options['late.deadLetters'],
          surfaces: options['topk.surfaces'],
        }),
      ]
      const erasure = createErasureStage(ctx, {
        users,
        keys: [
          options['privacy.pseudonymKey'],
          ...options['privacy.formerKeys'].map(({ key }) => key),
        ],
        views: 1 + options['topk.surfaces'].length,
      })
      if (topologies.has('labels'))
        stages.push(
          createLabelsStage(ctx, {
            users,
            times: labelTimes(options),
            slackMs: options['labels.slack'],
            examples: options['labels.examples'],
            objectives: options['labels.objectives'],
            feedback: options['labels.feedback'],
            served: options['labels.examples'] ? served : undefined,
            sinks: [quality, evaluation?.stage, experiments].filter(sink => sink !== undefined),
            complete: responses ? [responses] : [],
            answers: responses && answerLook(items, () => ctx.now()),
            pseudonymKey: options['privacy.pseudonymKey'],
            pseudonymKeyId: options['privacy.pseudonymKeyId'],
          }),
        )
      if (responses) stages.push(responses)
      if (topologies.has('popularity')) stages.push(createPopularityUserStage(ctx))
      if (topologies.has('covisit')) stages.push(createCovisitUserStage(ctx, isHeldOut))
      if (topologies.has('learner')) stages.push(learnerUserStage({ items, isHeldOut }))
      if (drift) {
        stages.push(drift)
        users.onRemove.push(user => drift.forget(user.id))
      }
      if (quality) stages.push(quality)
      if (evaluation) {
        stages.push(evaluation.stage)
        // after the labels of a user that is removed were given
        users.onRemove.push(user => evaluation.stage.forget(user.id))
      }
      if (experiments) {
        stages.push(experiments)
        // after the labels of a user that is removed were given
        users.onRemove.push(user => experiments.forget(user.id))
      }
      if (topologies.has('topk'))
        stages.push(
          createTopkStage(ctx, {
            users,
            options,
            activeMs: options['session.gap'],
            pseudonym: userId => ({
              user: pseudonym(userId, options['privacy.pseudonymKey']),
              key: options['privacy.pseudonymKeyId'],
            }),
            models: settings.models && rankingModels(settings.models, options),
            served,
            evaluated: evaluation?.draws,
            experiments: book,
            onListed(user, ms, surfaces) {
              experiments?.listed(user.id, ms)
              drift?.listed(user, ms, surfaces)
            },
          }),
        )
      stages.push(erasure)
      return { decode: createUserDecode(ctx, { events, erasures }), stages }
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
      const stages: Stage[] = [createPopularityGlobalStage(ctx)]
      if (settings.topologies.has('topk'))
        stages.push(
          createCohortStage(ctx, {
            options: settings.options,
            popularity: cohortPopularity(
              ctx.table('items'),
              ctx.table('windows'),
              settings.options['topk.cohorts'],
            ),
            models: settings.models && rankingModels(settings.models, settings.options),
          }) as Stage,
        )
      return { decode: () => 'skip', stages }
    },
  }
}
