/** Which records travel on which outside topic (names without the prefix). */
import type { RecordName } from './types.ts'

export const topicRecords = {
  events: ['Impression', 'Watch', 'Feedback'],
  items: ['Item'],
  erasures: ['Erasure'],
  experiments: ['Experiment'],
  models: ['Model'],
  'session-features': ['SessionFeatures'],
  alerts: ['Alert'],
} as const satisfies Readonly<Record<string, readonly RecordName[]>>

export type OutsideTopic = keyof typeof topicRecords

export type RecordsOf<T extends OutsideTopic> = (typeof topicRecords)[T][number]
