/** The exact parts of a recommender's state and output, in a form that can be compared. */
import { ByteReader } from '../../streams/serde/bytes.ts'
import { itemStores } from '../../topologies/items/stores.ts'
import { emptyItemCounts, readCounts } from '../../topologies/popularity/rows.ts'
import type { Recommender } from '../support/recommender.ts'

type Task = Recommender['items'][number]

/** Rows of the item task: the whole numbers of counts, and hours as they are written. */
export function countRows(task: Task): string[] {
  return [...task.rows()]
    .map(([key, value]) => {
      const store = Number.parseInt(key.slice(0, 2), 16)
      if (store === itemStores.hours) return `${key} ${value.toString('hex')}`
      if (store !== itemStores.counts) return ''
      const counts = emptyItemCounts()
      readCounts(new ByteReader(value), counts)
      // the decayed sums are floats beside the counts: they are added up in order of arrival at the item task
      return `${key} ${JSON.stringify({ ...counts, decayed: undefined })}`
    })
    .filter(line => line !== '')
    .sort()
}

/** The newest revision of each row of a table. */
export function newestRows(recommender: Recommender, table: string): string[] {
  return [...recommender.sent.rows]
    .filter(([key]) => key.startsWith(`${table}|`))
    .map(([key, row]) => `${key} ${JSON.stringify(row)}`)
    .sort()
}

/** Counts by bin and user shard of every window written, in its own edges; but how long lists took, which is of the machine. */
export function histograms(recommender: Recommender): string[] {
  return [...recommender.sent.rows]
    .filter(
      ([key, row]) =>
        key.startsWith('histograms|') &&
        row.subject !== 'latency:topk' &&
        !/@|^reference:/.test(`${row.edges_id}`),
    )
    .map(([key, row]) => {
      const names = row.categories as string[]
      const shards = row.shards as number[][]
      const bins = (row.counts as number[]).map((_, bin) => {
        const held = shards.flatMap((counts, shard) =>
          counts[bin] ? `${shard}:${counts[bin]}` : [],
        )
        return held.length > 0 ? `${names[bin] ?? bin} ${held.join(' ')}` : ''
      })
      return `${key} missing ${row.missing}: ${bins
        .filter(bin => bin !== '')
        .sort()
        .join(', ')}`
    })
    .sort()
}

/** What stands under each session key of the view store, and which users are gone from it. */
export function sessionViews({ sent }: Recommender): string[] {
  const last = new Map<string, string>()
  for (const view of sent.views)
    if (view.key.startsWith('session:'))
      last.set(view.key, view.op === 'hash' ? view.fields.join(' ') : view.op)
  return [...last].map(([key, text]) => `${key} ${text}`).sort()
}

/** Impressions, plays, positives and watched ms of each item. */
export function totals(task: Task): string[] {
  return [...task.rows()]
    .filter(([key]) => Number.parseInt(key.slice(0, 2), 16) === itemStores.counts)
    .map(([key, value]) => {
      const counts = emptyItemCounts()
      readCounts(new ByteReader(value), counts)
      const { impressions, watches, positives, watchedMs } = counts
      return `${Buffer.from(key.slice(2), 'hex')} ${impressions} ${watches} ${positives} ${watchedMs}`
    })
    .sort()
}
