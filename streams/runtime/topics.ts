/** The topics an application needs, and what is wrong with those that exist. */
import { FreshetError } from '../errors.ts'
import type { Application } from '../topology/stage.ts'
import type { TopicAdmin, TopicSpec } from '../transport/port.ts'
import type { TopicNames } from './names.ts'

const LARGE = String(8 * 1024 * 1024)

/**
 * Compacted; tombstones are really gone after a day, so that an erasure removes bytes from disk. What is younger than ten
 * minutes stays, so that who restores, or rebuilds views beside a live worker, reads no log that is cleaned meanwhile.
 */
const changelogConfig = {
  'cleanup.policy': 'compact',
  'max.message.bytes': LARGE,
  'segment.ms': String(6 * 3_600_000),
  'min.compaction.lag.ms': String(10 * 60_000),
  'max.compaction.lag.ms': String(24 * 3_600_000),
}

/** No time retention: purged below what receivers have committed (C4). */
const deltasConfig = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  'max.message.bytes': LARGE,
}

/**
 * How many tasks each kind has: as many as its first input has partitions, or as it declares.
 * Errors: TOPIC_MISSING, PARTITION_COUNT (inputs that are not co-partitioned).
 */
export async function countPartitions(
  application: Application,
  names: TopicNames,
  admin: Pick<TopicAdmin, 'describe'>,
): Promise<Map<string, number>> {
  const inputs = [...new Set(application.kinds.flatMap(kind => kind.inputs))]
  const found = await admin.describe(inputs.map(names.outside))
  const counts = new Map<string, number>()
  for (const kind of application.kinds) {
    const parts = kind.inputs.map(input => {
      const description = found.get(names.outside(input))
      if (!description)
        throw new FreshetError(
          'TOPIC_MISSING',
          `topic ${names.outside(input)} is not there; \`freshet topics create\` makes it`,
        )
      return { topic: names.outside(input), partitions: description.partitions }
    })
    const odd = parts.find(part => part.partitions !== parts[0].partitions)
    if (odd)
      throw new FreshetError(
        'PARTITION_COUNT',
        `topics ${parts[0].topic} (${parts[0].partitions} partitions) and ${odd.topic} (${odd.partitions}) must have the same number of partitions; make ${odd.topic} anew with ${parts[0].partitions}`,
      )
    counts.set(kind.name, parts[0]?.partitions ?? kind.partitions ?? 1)
  }
  return counts
}

/** Specs of freshet's own topics: a changelog for each kind, a delta topic for those that receive. */
export function internalTopics(
  application: Application,
  names: TopicNames,
  counts: ReadonlyMap<string, number>,
): TopicSpec[] {
  return application.kinds.flatMap(kind => {
    const partitions = counts.get(kind.name) as number
    const specs: TopicSpec[] = [
      { topic: names.changelog(kind.name), partitions, config: changelogConfig },
    ]
    if (kind.deltas)
      specs.push({ topic: names.deltas(kind.name), partitions, config: deltasConfig })
    return specs
  })
}

/**
 * Refuses a start where state is gone that tasks had, before anything is made or written.
 * Errors: STATE_REMOVED names the topics that are missing, or the partitions that are empty.
 */
export async function refuseRemovedState(
  application: Application,
  names: TopicNames,
  admin: Pick<TopicAdmin, 'describe' | 'offsets'>,
  hadState: (at: { kind: string; partition: number }) => boolean,
  counts: ReadonlyMap<string, number>,
): Promise<void> {
  const parts = application.kinds.flatMap(kind =>
    Array.from({ length: counts.get(kind.name) ?? 0 }, (_, partition) => ({ kind, partition })),
  )
  const stateful = parts.filter(part => hadState({ ...part, kind: part.kind.name }))
  const topics = new Set(
    stateful.flatMap(({ kind: { name, deltas } }) =>
      deltas ? [names.changelog(name), names.deltas(name)] : [names.changelog(name)],
    ),
  )
  const found = await admin.describe([...topics])
  const missing = [...topics].filter(topic => !found.has(topic))
  if (missing.length > 0) throw removedState(missing, 'is not there')
  const logs = stateful
    .map(({ kind, partition }) => ({ topic: names.changelog(kind.name), partition }))
    .filter(at => at.partition < (found.get(at.topic)?.partitions ?? 0))
  const ends = await admin.offsets(logs)
  const empty = logs.filter((_, i) => ends[i].end === 0)
  if (empty.length > 0)
    throw removedState(
      empty.map(({ topic, partition }) => `${topic}-${partition}`),
      'is empty',
    )
}

function removedState(where: readonly string[], found: string): FreshetError {
  return new FreshetError(
    'STATE_REMOVED',
    `${where.join(', ')}: ${found}, although there was state: removed by hand, while what others counted of it stands; restore it from its replicas or a copy, or reset the whole application with \`freshet reset\``,
  )
}

/**
 * Makes freshet's own topics where they are missing.
 * Errors: PARTITION_COUNT where one exists with another number: the input's partitions were changed under the state.
 */
export async function ensureInternalTopics(
  admin: TopicAdmin,
  specs: readonly TopicSpec[],
): Promise<void> {
  const found = await admin.describe(specs.map(spec => spec.topic))
  for (const spec of specs) {
    const existing = found.get(spec.topic)
    if (existing && existing.partitions !== spec.partitions)
      throw new FreshetError(
        'PARTITION_COUNT',
        `${spec.topic} has ${existing.partitions} partitions, its input now has ${spec.partitions}: keys would move away from their state; put the input back to ${existing.partitions} partitions, or begin a new generation with \`freshet reset\``,
      )
  }
  const missing = specs.filter(spec => !found.has(spec.topic))
  if (missing.length > 0) await admin.create(missing)
}
