/**
 * Fills a view store from the state alone: reads the changelogs as any reader may (claims nothing, joins nothing, fences
 * nobody), builds the same stages and writes what they show.
 *
 *  - B1 A task's views are written with the version of the last commit that was read: what its owner writes afterwards wins,
 *       whenever it comes, and so does what it wrote with that commit. Deletes leave their version behind, so nothing comes back
 *       that a later commit removed.
 *  - B2 The task's mark is taken away before anything is written: a live owner learns that the store may hold lists it did not
 *       make, and writes again what active users read. Behind the views the mark is set as of the last commit read, unless
 *       the owner has set it: the next owner need not refill.
 *  - B3 Tasks come one after the other; one task's state and the followed tables are in memory at a time.
 */
import type { Clock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { FillableViewStore } from '../sinks.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import type { Application, TaskKind } from '../topology/stage.ts'
import type { TopicPartition, Transport } from '../transport/port.ts'
import { TaskCore } from './core.ts'
import { markThrough, type TopicNames, viewVersion } from './names.ts'
import { tokenIn } from './ownership-record.ts'
import { ReadTables } from './read-tables.ts'
import { readUpTo } from './restore.ts'
import { countPartitions } from './topics.ts'

/** A slice of work between two turns of the event loop. */
const SLICE_MS = 50

export interface RebuildSettings {
  readonly application: Application
  readonly transport: Transport
  readonly names: TopicNames
  readonly generation: number
  readonly views: FillableViewStore
  readonly clock: Clock
  readonly log: Logger
  /** So many views are written by now. */
  readonly onProgress: (views: number) => void
}

export interface RebuildReport {
  /** Tasks that had anything to show. */
  tasks: number
  /** Writes by the part of their keys before the first colon. */
  readonly views: Record<string, number>
  /** Writes that found something as new or newer. */
  kept: number
}

/**
 * Writes all views of all tasks; resolves when all are acknowledged. Outages of log and store are waited for.
 * Errors: TOPIC_MISSING where there is no state; CHANGELOG_CORRUPT, CHANGELOG_NEWER with the address.
 */
export async function rebuildViews(settings: RebuildSettings): Promise<RebuildReport> {
  const { application, names, transport } = settings
  const counts = await countPartitions(application, names, transport.topics)
  const report: RebuildReport = { tasks: 0, views: {}, kept: 0 }
  const tables = new ReadTables({ ...settings, counts })
  try {
    for (const kind of application.kinds) {
      const topic = names.changelog(kind.name)
      if (!(await transport.topics.describe([topic])).has(topic))
        throw new FreshetError(
          'TOPIC_MISSING',
          `topic ${topic} is not there, so there is no state to rebuild from; has \`freshet run\` seen events with this topics.prefix?`,
        )
      for (let partition = 0; partition < (counts.get(kind.name) ?? 0); partition++)
        await rebuildTask(settings, tables, kind, { topic, partition }, counts, report)
    }
  } finally {
    await tables.close()
  }
  return report
}

async function rebuildTask(
  settings: RebuildSettings,
  tables: ReadTables,
  kind: TaskKind,
  changelog: TopicPartition,
  counts: ReadonlyMap<string, number>,
  report: RebuildReport,
): Promise<void> {
  const { generation, views, clock, transport } = settings
  const core = new TaskCore({
    kind,
    partition: changelog.partition,
    generation,
    stateGeneration: settings.names.state.generation,
    outsideName: settings.names.outside,
    partitionsOf: name => counts.get(name) ?? 0,
    now: () => clock.now(),
    wall: () => clock.wall(),
    table: <T>(name: string) => tables.follow(name).table as T,
    metrics: noMetrics,
    log: settings.log,
  })
  if (!core.refills) return
  const token = await restore(transport, changelog, core)
  if (token === undefined || core.lastCommit === 0) return
  await Promise.all(kind.tables.map(name => tables.caughtUp(name)))
  const through = markThrough(generation, core.lastCommit)
  const version = viewVersion(generation, token, core.lastCommit)
  await views.unmark(core.name)
  // what the last batch shows comes with all else
  take(core)
  core.refill('all')
  do {
    tables.check()
    core.tick(SLICE_MS)
    const writes = take(core)
    report.kept += await views.fill(writes, version)
    count(writes, report)
    settings.onProgress(sum(report))
    await clock.turn()
  } while (core.refilling)
  report.tasks++
  // older than any that the owner may have set meanwhile
  await views.write([], viewVersion(generation, token, 0), {
    task: core.name,
    through,
    fromVersion: '',
    fromThrough: '',
    lost: () => undefined,
  })
}

/** The views of the next commit. What else it says is not sent, and must not be kept for later. */
function take(core: TaskCore): readonly ViewWrite[] {
  const commit = core.commit()
  for (const block of commit?.effects.blocks ?? []) core.blockDelivered(block.number)
  return commit?.effects.views ?? []
}

/** Reads the whole log. Returns the token of its last ownership, undefined where there was none yet. */
async function restore(
  transport: Transport,
  changelog: TopicPartition,
  core: TaskCore,
): Promise<number | undefined> {
  const [{ end }] = await transport.topics.offsets([changelog])
  let token: number | undefined
  await readUpTo(
    transport,
    changelog,
    end,
    batch => {
      token = tokenIn(batch) ?? token
      core.restoreBatch(batch)
    },
    () => false,
  )
  core.restored()
  return token
}

function count(writes: readonly ViewWrite[], { views }: RebuildReport): void {
  for (const { key } of writes) {
    const end = key.indexOf(':')
    const name = end < 0 ? key : key.slice(0, end)
    views[name] = (views[name] ?? 0) + 1
  }
}

function sum({ views }: RebuildReport): number {
  return Object.values(views).reduce((all, n) => all + n, 0)
}
