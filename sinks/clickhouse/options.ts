/** Options of the ClickHouse sink. */
import { z } from 'zod'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

const day = 86_400_000

export const clickhouseOptions = defineOptions({
  'clickhouse.url': option(z.string(), '', {
    help: 'http(s)://[user:password@]host:port, chdb:DIR for the embedded one, or none to leave tables out. Empty: chdb in the data directory, because nothing but Node is then needed',
    takes: 'a url, chdb:DIR or none',
  }),
  'clickhouse.database': option(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/), 'freshet', {
    help: "Database of freshet's tables; made and migrated by the program",
    takes: 'letters, digits and _',
  }),
  'clickhouse.flushMs': option(z.coerce.number().int().min(1).max(60_000), 1_000, {
    help: 'How long rows wait to be stored together with others, ms. 1 s: ClickHouse advises about one insert a second, and drift is written a minute after its window',
    takes: 'a whole number from 1 to 60000',
  }),
  'clickhouse.maxRows': option(z.coerce.number().int().min(1).max(1_000_000), 20_000, {
    help: 'Rows that make a block go out at once. 20,000: 3 MB of examples, stored in .15 s on one core',
    takes: 'a whole number from 1 to 1000000',
  }),
  'clickhouse.eraseEvery': option(duration(), 60_000, {
    help: 'How long erasures wait for others: those of this time are one mutation a table. 1 min: a mutation looks into every part, and the law gives a month',
    takes: durationTakes,
  }),
  'clickhouse.examples.retention': option(duration(), 90 * day, {
    help: 'How long examples are kept, counted from when they were stored. 90 d: a quarter of training data',
    takes: durationTakes,
  }),
  'clickhouse.slates.retention': option(duration(), 14 * day, {
    help: 'How long sampled slates are kept, counted from when they were stored. 14 d: they are large and serve to explain recent lists',
    takes: durationTakes,
  }),
})
