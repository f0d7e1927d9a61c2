/**
 * The state as the log has it, for commands that look: the item table, users, tasks. Reads changelogs as any reader may:
 * claims nothing, joins no group, writes nowhere; works with and without a running worker.
 */
import type { SchemaRegistry } from '../schemas/index.ts'
import { systemClock } from '../streams/clock.ts'
import { FreshetError } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import { noMetrics } from '../streams/metrics.ts'
import { inspectTask, type OnRow, type TaskReport } from '../streams/runtime/inspect-task.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import { ReadTables } from '../streams/runtime/read-tables.ts'
import { readUpTo } from '../streams/runtime/restore.ts'
import { countPartitions } from '../streams/runtime/topics.ts'
import { partitionOfText } from '../streams/serde/hash.ts'
import type { Application } from '../streams/topology/stage.ts'
import type { Transport } from '../streams/transport/port.ts'
import type { MemoryItemTable } from '../topologies/items/memory-table.ts'
import { createApplication, parseTopologies } from '../topologies/main.ts'
import { repeatAfterMs } from '../topologies/sessions/options.ts'
import { parseCreatorWeights } from '../topologies/user/creator-weights.ts'
import { OneUser } from '../topologies/user/one-user.ts'
import type { Call, Values } from './call.ts'
import { openSchemas, openTransport, REACH_MS, stateInForce } from './compose.ts'
import { createLookingLogger } from './logger.ts'

export interface OpenedState {
  readonly transport: Transport
  readonly names: TopicNames
  readonly log: Logger
  /** Whole up to when it is first asked for; follows on from there. */
  items(): Promise<MemoryItemTable>
  user(userId: string): Promise<OneUser>
  /** Errors: CALL_INVALID for a kind or partition that there is not. */
  task(kind: string, partition: number, onRow?: OnRow): Promise<TaskReport>
  close(): Promise<void>
}

/** Errors: what can't be reached, in one sentence; TOPIC_MISSING where there is no state. */
export async function openState({ values: given }: Call): Promise<OpenedState> {
  const log = createLookingLogger(given['log.level'])
  const values: Values = { ...given, 'session.features': false, 'slates.share': 0 }
  const around = { values, log, metrics: noMetrics }
  const transport = await openTransport(around, REACH_MS, true)
  let registry: SchemaRegistry | undefined
  try {
    const { names } = await stateInForce(values, transport)
    // the state names no schema
    const schemas = await openSchemas({
      ...around,
      values: { ...values, 'schemaRegistry.url': 'mock://state' },
    })
    registry = schemas.registry
    const application = createApplication({
      options: values,
      topologies: parseTopologies(values.topologies),
      schemas: registry,
      encoder: schemas.encoder,
      clock: systemClock,
    })
    const counts = await countPartitions(application, names, transport.topics)
    await needState(application, names, transport.topics)
    const tables = new ReadTables({
      application,
      transport,
      names,
      counts,
      clock: systemClock,
      log,
    })
    const items = async () => {
      await tables.caughtUp('items')
      return tables.follow('items').table as MemoryItemTable
    }
    return {
      transport,
      names,
      log,
      items,
      async user(userId) {
        const partition = partitionOfText(userId, counts.get('user') ?? 1)
        const at = { topic: names.changelog('user'), partition }
        const user = new OneUser(userId, {
          items: await items(),
          gapMs: values['session.gap'],
          graceMs: values['late.grace'],
          repeatAfterMs: repeatAfterMs(values['topk.repeat']),
          creatorWeights: parseCreatorWeights(values['feedback.creators']),
        })
        const [{ end }] = await transport.topics.offsets([at])
        await readUpTo(
          transport,
          at,
          end,
          ({ records }) => {
            for (const { key, value } of records) if (key !== null) user.take(key, value)
          },
          () => false,
        )
        return user
      },
      task(kind, partition, onRow) {
        const found = application.kinds.find(each => each.name === kind)
        if (!found)
          throw new FreshetError(
            'CALL_INVALID',
            `there is no kind of task ${JSON.stringify(kind)}; it takes one of ${application.kinds.map(each => each.name).join(', ')}`,
          )
        const most = (counts.get(kind) ?? 1) - 1
        if (partition > most)
          throw new FreshetError(
            'CALL_INVALID',
            `there is no task ${kind}-${partition}; its partitions are 0${most > 0 ? ` to ${most}` : ''}`,
          )
        const settings = { transport, names, counts, tables, now: () => systemClock.now(), log }
        return inspectTask(settings, found, partition, onRow)
      },
      async close() {
        await tables.close()
        registry?.close()
        await transport.close()
      },
    }
  } catch (error) {
    registry?.close()
    await transport.close()
    throw error
  }
}

async function needState(
  { tables }: Application,
  names: TopicNames,
  topics: Transport['topics'],
): Promise<void> {
  const kinds = ['user', ...(tables.find(({ name }) => name === 'items')?.follows ?? [])]
  const needed = kinds.map(kind => names.changelog(kind))
  const there = await topics.describe(needed)
  const missing = needed.find(topic => !there.has(topic))
  if (missing !== undefined)
    throw new FreshetError(
      'TOPIC_MISSING',
      `topic ${missing} is not there, so there is no state to look at; has \`freshet run\` seen events with this topics.prefix and these topologies?`,
    )
}
