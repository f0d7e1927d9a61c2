/**
 * What a record costs in a batch of 1,000 with values of 90 bytes: `npx tsx streams/transport/record-batch/record-batch.bench.ts`.
 * us a record; building includes the stamp's checksum. Compression and sockets are not in it.
 */
import { Bench } from 'tinybench'
import { decodeRecordSet, RecordBatchBuilder } from '../record-batch.ts'

const RECORDS = 1000
const keys = Array.from({ length: RECORDS }, (_, i) => Buffer.from(`user:${100_000 + i}`))
const value = Buffer.alloc(90, 7)
const builder = new RecordBatchBuilder()

function build(): Buffer {
  for (const key of keys) builder.add(key, value)
  return builder.finish(1_790_000_000_000).stamp(1n, 0, 0)
}

const set = build()
const bench = new Bench({ time: 1000 })
bench.add('build and stamp', () => {
  build()
})
bench.add('decode', () => {
  decodeRecordSet(set, 't', 0, 0)
})
bench.add('decode, checksum verified', () => {
  decodeRecordSet(set, 't', 0, 0, { verifyChecksum: true })
})
await bench.run()
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'us a record':
      'latency' in result ? ((result.latency.mean * 1000) / RECORDS).toFixed(3) : result.state,
  })),
)
