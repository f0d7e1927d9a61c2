/**
 * One process that restores all user tasks of a changelog: `restore-process.ts BROKERS TOPIC PARTITIONS`. Prints one line of
 * JSON: what it took from the connected client to the last restored task, and the largest it ever was.
 */
import { readFileSync } from 'node:fs'
import { silentLogger } from '../../streams/log.ts'
import { readUpTo } from '../../streams/runtime/restore.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { openItems, openTask } from './restore-task.ts'

const [brokers, topic, partitions] = process.argv.slice(2)
const transport = await createKafkaTransport({
  brokers: [brokers],
  clientId: 'bench',
  log: silentLogger,
})
const parts = Array.from({ length: Number(partitions) }, (_, partition) => ({ topic, partition }))
const ends = await transport.topics.offsets(parts)
const items = openItems()
const status = (name: string): number =>
  Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) /
  1024
const emptyMb = status('VmRSS')

const startedAt = performance.now()
const cpu = process.cpuUsage()
let bytes = 0
let rows = 0
const tasks = await Promise.all(
  parts.map(async (at, i) => {
    const task = openTask(at.partition, items, () => 'skip')
    await readUpTo(
      transport,
      at,
      ends[i].end,
      batch => {
        rows += batch.records.length
        for (const { key, value } of batch.records)
          bytes += (key?.length ?? 0) + (value?.length ?? 0)
        task.core.restoreBatch(batch)
      },
      () => false,
    )
    task.core.restored()
    return task
  }),
)
const seconds = (performance.now() - startedAt) / 1000
const used = process.cpuUsage(cpu)
const residentMb = status('VmRSS')
const peakMb = status('VmHWM')
const memory = process.memoryUsage()
console.log(
  JSON.stringify({
    seconds,
    cpuSeconds: (used.user + used.system) / 1e6,
    systemSeconds: used.system / 1e6,
    users: tasks.reduce((sum, { users }) => sum + users.size, 0),
    rows,
    changelogMb: bytes / 2 ** 20,
    emptyMb,
    residentMb,
    peakMb,
    heapMb: memory.heapUsed / 2 ** 20,
    buffersMb: memory.arrayBuffers / 2 ** 20,
  }),
)
await transport.close()
