/** The topics an application needs, and what is wrong with those that exist. */
import { FreshetError } from '../errors.ts'
import type { Application } from '../topology/stage.ts'
import type { TopicAdmin, TopicSpec } from '../transport/port.ts'
import type { TopicNames } from './names.ts'

const LARGE = String(8 * 1024 * 1024)

/** Compacted; tombstones are really gone after a day, so that an erasure removes bytes from disk. */
const changelogConfig = {
  'cleanup.policy': 'compact',
  'max.message.bytes': LARGE,
  'segment.ms': String(6 * 3_600_000),
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
 * Makes freshet's own topics where they are missing. `withState`: topics that had records.
 * Errors: STATE_REMOVED where one of these is missing; PARTITION_COUNT where one exists with another number: the input's partitions were changed under the state.
 */
export async function ensureInternalTopics(
  admin: TopicAdmin,
  specs: readonly TopicSpec[],
  withState: ReadonlySet<string> = new Set(),
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
  const removed = missing.filter(spec => withState.has(spec.topic)).map(spec => spec.topic)
  if (removed.length > 0)
    throw new FreshetError(
      'STATE_REMOVED',
      `${removed.join(', ')}: not there, although there was state: removed by hand, while what others counted of it stands; restore ${removed.length === 1 ? 'it' : 'them'}, or reset the whole application with \`freshet reset\``,
    )
  if (missing.length > 0) await admin.create(missing)
}
