/**
 * C2, one writer: every ownership of a task opens with an *ownership record* on its changelog, appended under the same
 * producer id as the last owner's at epoch + 1 and sequence 0 (as idempotent clients do, KIP-360; no transactional id, so
 * nothing expires by wall clock). From then on the broker refuses older epochs there. The last owner's identity is read off
 * the header of the log's last batch, which compaction never removes.
 *
 * Two contenders may both be acknowledged for one record (the broker takes the second for a repetition), so the record is
 * read back: only the uuid in it says whose it is.
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import type { FencedWriter, TopicPartition, Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { OWNER_KEY } from './core.ts'

/** Kafka's epochs are 16 bit; one is left for closing the line. */
const LAST_EPOCH = 32_766

export interface Ownership {
  readonly uuid: string
  readonly writer: FencedWriter
  /** Offset of the ownership record: the fencing token of this ownership, given by the log, never goes back. */
  readonly token: number
}

export interface ClaimSettings {
  readonly transport: Transport
  readonly changelog: TopicPartition
  /** Every partition the line may have written to: a line that ends for lack of epochs is closed on all of them. */
  readonly outboxPartitions: () => readonly TopicPartition[]
  readonly writerDeadlineMs: number
  readonly clock: Clock
}

/** Claims the task. Resolves once the ownership record is in the log and read back as ours; contends until then. */
export async function claim(settings: ClaimSettings, cancelled: () => boolean): Promise<Ownership> {
  for (let attempt = 0; ; attempt++) {
    if (cancelled()) throw new FreshetError('CLOSED', 'the claim was given up')
    const ownership = await tryClaim(settings)
    if (ownership) return ownership
    await settings.clock.sleep(50 + ((attempt * 137) % 400))
  }
}

async function tryClaim(settings: ClaimSettings): Promise<Ownership | undefined> {
  const { transport, changelog, writerDeadlineMs } = settings
  const last = await lastIdentity(transport, changelog)
  const uuid = randomUUID()
  let identity: { producerId: bigint; epoch: number }
  if (last === undefined) identity = { producerId: await transport.newProducerId(), epoch: 0 }
  else if (last.epoch < LAST_EPOCH)
    identity = { producerId: last.producerId, epoch: last.epoch + 1 }
  else {
    if (last.epoch === LAST_EPOCH) await closeLine(settings, last)
    identity = { producerId: await transport.newProducerId(), epoch: 0 }
  }
  const writer = transport.writer({ ...identity, deadlineMs: writerDeadlineMs })
  try {
    const { baseOffset } = await writer.append(changelog, ownershipRecord(uuid, identity, settings))
    const mine = await readOwner(transport, changelog, baseOffset)
    return mine === uuid ? { uuid, writer, token: baseOffset } : undefined
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'FENCED') return undefined
    throw error
  }
}

function ownershipRecord(
  uuid: string,
  identity: { producerId: bigint; epoch: number },
  settings: ClaimSettings,
) {
  const builder = new RecordBatchBuilder()
  builder.add(
    OWNER_KEY,
    Buffer.from(
      JSON.stringify({
        uuid,
        producerId: identity.producerId.toString(),
        epoch: identity.epoch,
        at: settings.clock.now(),
      }),
    ),
  )
  return builder.finish(settings.clock.now())
}

/** Producer id and epoch of the last batch; undefined for an empty log. */
async function lastIdentity(
  transport: Transport,
  at: TopicPartition,
): Promise<{ producerId: bigint; epoch: number } | undefined> {
  const [{ start, end }] = await transport.topics.offsets([at])
  if (end === 0 || end === start) return undefined
  let offset = end - 1
  let last: { producerId: bigint; epoch: number } | undefined
  for (;;) {
    const { batches, nextOffset, highWatermark } = await transport.read(at, offset, {
      maxWaitMs: 0,
    })
    for (const batch of batches) last = { producerId: batch.producerId, epoch: batch.producerEpoch }
    if (batches.length === 0 || nextOffset >= highWatermark) break
    offset = nextOffset
  }
  if (last === undefined || last.producerId < 0n)
    throw new FreshetError(
      'CHANGELOG_CORRUPT',
      `${at.topic}-${at.partition}@${end - 1}: the last batch was not written by a task (no producer id); reset the application`,
    )
  return last
}

async function readOwner(
  transport: Transport,
  at: TopicPartition,
  offset: number,
): Promise<string | undefined> {
  const { batches } = await transport.read(at, offset, { maxWaitMs: 1000 })
  for (const batch of batches)
    for (const record of batch.records)
      if (record.offset === offset && record.key?.equals(OWNER_KEY) && record.value)
        return (JSON.parse(record.value.toString()) as { uuid: string }).uuid
  return undefined
}

/** Epochs are used up: the highest epoch is put on every partition the line wrote, so that no zombie of it is accepted. */
async function closeLine(
  settings: ClaimSettings,
  last: { producerId: bigint; epoch: number },
): Promise<void> {
  const writer = settings.transport.writer({
    producerId: last.producerId,
    epoch: last.epoch + 1,
    deadlineMs: settings.writerDeadlineMs,
  })
  // the changelog last: its closing record says that all others stand
  for (const at of [...settings.outboxPartitions(), settings.changelog]) {
    const builder = new RecordBatchBuilder()
    builder.add(OWNER_KEY, Buffer.from(JSON.stringify({ closed: last.producerId.toString() })))
    try {
      await writer.append(at, builder.finish(settings.clock.now()))
    } catch (error) {
      if (!(error instanceof FreshetError && error.code === 'FENCED')) throw error
    }
  }
}
