/** Rows of the recommender at task level as a digest takes them, and what a digest is made of, to find out where two differ. */
import {
  type DigestPart,
  type Digests,
  ExactDigest,
  type ExactRow,
} from '../../replay/digest/digest.ts'
import type { TopologyName } from '../../topologies/main.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import type { Recommender } from './recommender.ts'

export function* exactRowsOf({ users, items, statistics }: Recommender): Generator<ExactRow> {
  const kinds = { user: users, item: items, statistics: [statistics] }
  for (const [kind, tasks] of Object.entries(kinds))
    for (const [partition, task] of tasks.entries())
      for (const [name, value] of task.rows()) {
        const key = Buffer.from(name, 'hex')
        yield { kind, partition, store: key[0], key: key.subarray(1), value }
      }
}

export function digestWithTexts(
  rows: Iterable<ExactRow>,
  options: TopologyOptions,
  topologies: ReadonlySet<TopologyName>,
): { digests: Digests; texts: Record<DigestPart, string[]> } {
  const texts: Record<DigestPart, string[]> = {
    sessions: [],
    labels: [],
    counts: [],
    histograms: [],
  }
  const digest = new ExactDigest(options, topologies, (part, text) => {
    texts[part].push(text)
  })
  for (const row of rows) digest.take(row)
  const digests = digest.digests()
  for (const each of Object.values(texts)) each.sort()
  return { digests, texts }
}
