/**
 * A process that runs the toy application on Kafka until it is told to stop:
 * `toy-worker.ts BROKERS PREFIX [--touch MS] [--static]`. Static: it asks no group and holds every task for its own.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../streams/clock.ts'
import type { Logger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { Worker } from '../../streams/runtime/worker.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { GroupSpec, Membership, Transport } from '../../streams/transport/port.ts'
import { toyApplication } from './toy-application.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { touch: { type: 'string' }, static: { type: 'boolean' } },
})
const [brokers, prefix] = positionals
const say =
  (level: string) =>
  (fields: Record<string, unknown>, message: string): void =>
    console.log(level, message, JSON.stringify(fields))
const log: Logger = { info: say('info'), warn: say('warn'), error: say('error') }
const kafka = await createKafkaTransport({ brokers: [brokers], clientId: 'toy', log })
const transport: Transport = values.static ? { ...kafka, join: allTasks } : kafka
const names = topicNames(prefix, 1)
const worker = new Worker({
  application: toyApplication(),
  transport,
  names,
  outlets: {
    views: null,
    tables: null,
    publisher: transport.publisher(),
    names,
    silent: new Set(),
  },
  clock: systemClock,
  log,
  metrics: noMetrics,
  generation: 1,
  groupId: `${prefix}toy`,
  clientId: 'toy',
  sessionTimeoutMs: 3_000,
  writerDeadlineMs: 30_000,
  touchMs: values.touch === undefined ? undefined : Number(values.touch),
  startAt: 'earliest',
})
const told = new Promise(resolve => process.on('SIGTERM', resolve))
await worker.start()
void told.then(() => worker.stop())
console.log('started')
await worker.done()
await transport.close()
process.exit(0)

async function allTasks(group: GroupSpec): Promise<Membership> {
  await group.onAssigned(await group.tasks())
  return { commitOffsets: async () => undefined, leave: async () => undefined }
}
