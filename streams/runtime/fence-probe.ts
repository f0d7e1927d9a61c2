/**
 * Proves C2's fence on the log that is really there: a newer epoch of a producer id must make the log refuse the older
 * one, also at sequence 0 and without a transaction. freshet's exactly-once rests on that; a log that lets an old owner
 * in is refused before anything is written to it. Run at each start on Kafka, and by `doctor`.
 */
import { systemClock } from '../clock.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { TopicPartition, Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import type { TopicNames } from './names.ts'

const DEADLINE_MS = 15_000

/** Removed by time, so that probes leave nothing behind. */
const probeTopic = (names: TopicNames) => ({
  topic: names.outside('fence-probe'),
  partitions: 1,
  config: { 'cleanup.policy': 'delete', 'retention.ms': '3600000', 'segment.ms': '3600000' },
})

/**
 * Writes as one owner, as the next owner, and as the first once more, on a scratch topic that it makes where it is missing.
 * Errors: DEPENDENCY_UNSUITABLE where the next owner is refused or the first is not; STALLED where the log does not answer
 * within 15 s.
 */
export async function proveFence(transport: Transport, names: TopicNames): Promise<void> {
  const spec = probeTopic(names)
  if (!(await transport.topics.describe([spec.topic])).has(spec.topic))
    await transport.topics.create([spec])
  const at = { topic: spec.topic, partition: 0 }
  // an id of its own: probes of workers that start together do not meet
  const producerId = await transport.newProducerId()
  const owner = (epoch: number) => transport.writer({ producerId, epoch, deadlineMs: DEADLINE_MS })
  const [first, next] = [owner(0), owner(1)]
  await expectTaken(first.append(at, probe()), at, 'the first write of a new producer id')
  await expectTaken(next.append(at, probe()), at, 'epoch 1 of the same producer id at sequence 0')
  await expectRefused(first.append(at, probe()), at, 'the next write of epoch 0')
  // one that was away since before the change of owners begins with the sequence it remembers, or with none
  await expectRefused(owner(0).append(at, probe()), at, 'epoch 0 beginning again at sequence 0')
}

function probe() {
  const builder = new RecordBatchBuilder()
  builder.add(Buffer.from('probe'), Buffer.alloc(0))
  // dated by the clock: brokers remember a producer by the date of its records
  return builder.finish(systemClock.wall())
}

async function expectTaken(
  append: Promise<unknown>,
  at: TopicPartition,
  what: string,
): Promise<void> {
  try {
    await append
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'STALLED') throw error
    throw unsuitable(at, `${what} was refused (${messageOf(error)})`, error)
  }
}

async function expectRefused(
  append: Promise<unknown>,
  at: TopicPartition,
  what: string,
): Promise<void> {
  try {
    await append
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'FENCED') return
    throw error
  }
  throw unsuitable(at, `${what} was accepted after epoch 1 had written`)
}

function unsuitable(at: TopicPartition, found: string, cause?: unknown): FreshetError {
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    `${at.topic}-${at.partition}: ${found}: this log does not fence old owners, so a worker that was given up could still write; use Apache Kafka 2.5 or newer, or a broker that keeps to KIP-360`,
    cause,
  )
}
