/**
 * Records a second through the embedded log, appended in batches of 1,000 (values of 90 bytes, each append awaited) and
 * read back: `npx tsx streams/transport/embedded/embedded.bench.ts`. LMDB's flushes to the disk go on in the background.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RecordBatchBuilder } from '../record-batch.ts'
import { createEmbeddedTransport } from './index.ts'

const RECORDS = 500_000
const BATCH = 1000
const at = { topic: 'bench', partition: 0 }
const keys = Array.from({ length: 20_000 }, (_, i) => Buffer.from(`user:${100_000 + i}`))
const value = Buffer.alloc(90, 7)

async function measure(work: () => Promise<void>) {
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return {
    'records a second': Math.round((RECORDS / (performance.now() - startedAt)) * 1000),
    'CPU us a record': ((user + system) / RECORDS).toFixed(2),
  }
}

const results: Record<string, unknown> = {}
for (const round of [1, 2, 3]) {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-bench-'))
  const transport = createEmbeddedTransport({ dir })
  await transport.topics.create([{ topic: at.topic, partitions: 1, config: {} }])
  const writer = transport.writer({ producerId: 1n, epoch: 0, deadlineMs: 1000 })
  const builder = new RecordBatchBuilder()
  results[`append ${round}`] = await measure(async () => {
    for (let n = 0; n < RECORDS; ) {
      for (let i = 0; i < BATCH; i++, n++) builder.add(keys[n % keys.length], value)
      await writer.append(at, builder.finish(Date.now()))
    }
  })
  results[`read ${round}`] = await measure(async () => {
    for (let position = 0; position < RECORDS; )
      position = (await transport.read(at, position)).nextOffset
  })
  await transport.close()
  rmSync(dir, { recursive: true })
}
console.table(results)
