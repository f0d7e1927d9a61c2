/** Appends numbers to topic t of an embedded log until it is killed; prints each number once it is acknowledged. */
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'

const transport = createEmbeddedTransport({ dir: process.argv[2] })
await transport.topics.create([{ topic: 't', partitions: 1, config: { 'retention.ms': '-1' } }])
const writer = transport.writer({ producerId: 77n, epoch: 0, deadlineMs: 1000 })
const builder = new RecordBatchBuilder()
for (let i = 0; ; i++) {
  builder.add(Buffer.from('k'), Buffer.from(String(i)))
  await writer.append({ topic: 't', partition: 0 }, builder.finish(1))
  process.stdout.write(`${i}\n`)
}
