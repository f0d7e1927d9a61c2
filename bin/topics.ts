/** The outside topics of CONTRACT 1 and how they are made. Partition counts of existing topics are left as they are. */
import type { TopicNames } from '../streams/runtime/names.ts'
import type { TopicSpec } from '../streams/transport/port.ts'

const DAY_MS = 86_400_000

const deleted = (retentionMs: number): Record<string, string> => ({
  'cleanup.policy': 'delete',
  'retention.ms': String(retentionMs),
})
const compacted = { 'cleanup.policy': 'compact' }

export interface OutsideTopicSpec {
  readonly name: string
  readonly partitions: 'all' | 1
  readonly config: Readonly<Record<string, string>>
}

export const outsideTopics: readonly OutsideTopicSpec[] = [
  { name: 'events', partitions: 'all', config: deleted(7 * DAY_MS) },
  // erasures must outlive every event they speak of
  { name: 'erasures', partitions: 'all', config: deleted(90 * DAY_MS) },
  { name: 'items', partitions: 'all', config: compacted },
  { name: 'experiments', partitions: 1, config: compacted },
  { name: 'models', partitions: 1, config: compacted },
  { name: 'references', partitions: 1, config: compacted },
  { name: 'session-features', partitions: 'all', config: compacted },
  { name: 'dead-letters', partitions: 1, config: deleted(14 * DAY_MS) },
  { name: 'alerts', partitions: 1, config: deleted(90 * DAY_MS) },
]

export function outsideTopicSpecs(names: TopicNames, partitions: number): TopicSpec[] {
  return outsideTopics.map(topic => ({
    topic: names.outside(topic.name),
    partitions: topic.partitions === 'all' ? partitions : topic.partitions,
    config: topic.config,
  }))
}
