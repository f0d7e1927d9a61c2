/** Sums of the histograms in ClickHouse over a time: what `freshet reference set` freezes. */
import type { SetReference } from '../topologies/drift/reference-book.ts'
import { shardCount, sizes } from '../topologies/drift/subjects.ts'

interface Query {
  query<T>(sql: string): Promise<T[]>
}

export interface SummedRow {
  readonly subject: string
  readonly segment: string
  readonly seconds: number
  readonly windows: number
  readonly rows: number
  readonly missing: number
  /** null: numbers. */
  readonly categories: string[] | null
  readonly shards: number[][]
}

/** All series that have windows wholly within [from, to), times in ms. Integer sums: exact below 2^53. */
export async function summedHistograms(
  tables: Query,
  database: string,
  from: number,
  to: number,
): Promise<SummedRow[]> {
  const at = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}), 'UTC')`
  const within = `FROM ${database}.v_histograms
    WHERE window_start >= ${at(from)} AND window_end <= ${at(to)}
      AND NOT startsWith(edges_id, 'reference:') AND position(edges_id, '@') = 0
      AND window_end - window_start IN (${sizes.map(({ ms }) => ms / 1000).join(', ')})`
  const head = `subject, segment, toUInt32(window_end - window_start) AS seconds`
  const totals = `toFloat64(count()) AS windows, toFloat64(sum(n)) AS rows, toFloat64(sum(missing)) AS missing`
  const numbers = await tables.query<Omit<SummedRow, 'categories' | 'shards'> & { flat: number[] }>(
    `SELECT ${head}, ${totals},
       arrayMap(count -> toFloat64(count), sumForEach(arrayFlatten(shards))) AS flat
     ${within} AND edges_id != 'categories' GROUP BY subject, segment, seconds`,
  )
  const named = await tables.query<Omit<SummedRow, 'categories' | 'shards'>>(
    `SELECT ${head}, ${totals} ${within} AND edges_id = 'categories' GROUP BY subject, segment, seconds`,
  )
  const names = await tables.query<
    Pick<SummedRow, 'subject' | 'segment' | 'seconds'> & { category: string; counts: number[] }
  >(
    `SELECT ${head}, category, arrayMap(count -> toFloat64(count), sumForEach(counts_of)) AS counts FROM (
       SELECT subject, segment, window_start, window_end, category, arrayMap(shard -> shard[place], shards) AS counts_of
       ${within.replace('WHERE', 'ARRAY JOIN categories AS category, arrayEnumerate(categories) AS place WHERE')} AND edges_id = 'categories'
     ) GROUP BY subject, segment, seconds, category ORDER BY category`,
  )
  return [
    ...numbers.map(({ flat, ...row }) => ({ ...row, categories: null, shards: chunks(flat) })),
    ...named.map(row => {
      const ours = names.filter(
        each =>
          each.subject === row.subject &&
          each.segment === row.segment &&
          each.seconds === row.seconds,
      )
      return {
        ...row,
        categories: ours.map(each => each.category),
        shards: Array.from({ length: shardCount }, (_, shard) =>
          ours.map(each => each.counts[shard]),
        ),
      }
    }),
  ]
}

function chunks(flat: readonly number[]): number[][] {
  const bins = flat.length / shardCount
  return Array.from({ length: shardCount }, (_, shard) =>
    flat.slice(shard * bins, (shard + 1) * bins),
  )
}

export interface Frozen {
  readonly references: SetReference[]
  /** Series that have windows but too few rows. */
  readonly tooFew: SummedRow[]
}

/** The sums as references, but for those of fewer than `minRows` rows. */
export function freeze(
  summed: readonly SummedRow[],
  { name, from, to, setAt }: Pick<SetReference, 'name' | 'from' | 'to' | 'setAt'>,
  minRows: number,
): Frozen {
  const enough = summed.filter(row => row.rows >= minRows)
  return {
    tooFew: summed.filter(row => row.rows < minRows),
    references: enough.map(
      ({ subject, segment, seconds, windows, missing, categories, shards }) => ({
        name,
        from,
        to,
        setAt,
        subject,
        segment,
        size: sizes.findIndex(({ ms }) => ms === seconds * 1000),
        windows,
        missing,
        categories,
        shards,
      }),
    ),
  }
}
