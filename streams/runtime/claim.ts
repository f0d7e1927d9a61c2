/**
 * C2, one writer: every ownership of a task opens with an *ownership record* on its changelog, appended under the same
 * producer id as the last owner's at epoch + 1 and sequence 0 (as idempotent clients do, KIP-360; no transactional id, so
 * nothing expires by wall clock). From then on the broker refuses older epochs there. The last owner's identity is read off
 * the header of the log's last batch, which compaction never removes.
 *
 * Two contenders may both be acknowledged for one record (the broker takes the second for a repetition), so the record is
 * read back: only the uuid in it says whose it is. Two that open a line at once do not fence each other at all: the one
 * whose record stands where the log ended when it looked is in force, the other's is void, for it and for all who read it.
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import type { FencedWriter, FetchedBatch, TopicPartition, Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import type { Births } from './generations.ts'
import { OWNER_KEY, type OwnerRecord, readOwnerRecord } from './ownership-record.ts'

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
  /** Absent where nobody keeps a journal. */
  readonly births?: Births
}

/**
 * Claims the task. Resolves once the ownership record is in the log and read back as ours; contends until then.
 * Errors: STATE_REMOVED for a log that is empty although the task had state; CHANGELOG_CORRUPT for one whose head was
 * removed or whose end is not a task's.
 */
export async function claim(settings: ClaimSettings, cancelled: () => boolean): Promise<Ownership> {
  for (let attempt = 0; ; attempt++) {
    if (cancelled()) throw new FreshetError('CLOSED', 'the claim was given up')
    const ownership = await tryClaim(settings)
    if (ownership) {
      await settings.births?.add()
      return ownership
    }
    await settings.clock.sleep(50 + ((attempt * 137) % 400))
  }
}

async function tryClaim(settings: ClaimSettings): Promise<Ownership | undefined> {
  const { transport, changelog, writerDeadlineMs, clock } = settings
  const lookedAt = clock.now()
  // what was read is acted upon soon or not at all: a process may sleep until brokers have forgotten whom it read of
  const stale = (): boolean => clock.now() - lookedAt > writerDeadlineMs
  const { last, end } = await lastIdentity(transport, changelog)
  if (last?.epoch === LAST_EPOCH) {
    await closeLine(settings, last, stale)
    return undefined // the next look finds the line closed
  }
  if (last === undefined && (await settings.births?.known())) {
    // its birth was written behind its first record, so a log that is still empty has lost it
    if ((await lastIdentity(transport, changelog)).last === undefined) throw removed(changelog)
    return undefined
  }
  const uuid = randomUUID()
  const opens = last === undefined || last.epoch > LAST_EPOCH
  const identity = opens
    ? { producerId: await transport.newProducerId(), epoch: 0 }
    : { producerId: last.producerId, epoch: last.epoch + 1 }
  const writer = transport.writer({ ...identity, deadlineMs: writerDeadlineMs })
  const record = { uuid, ...(opens ? { opensAt: end } : {}) }
  if (stale()) return undefined
  try {
    const { baseOffset } = await writer.append(
      changelog,
      ownershipRecord(record, identity, settings),
    )
    // a new line fences nobody: it is in force only if nobody wrote since the log was looked at
    if (opens && baseOffset !== end) return undefined
    const mine = await readOwner(transport, changelog, baseOffset)
    return mine === uuid ? { uuid, writer, token: baseOffset } : undefined
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'FENCED') return undefined
    throw error
  }
}

function ownershipRecord(
  record: OwnerRecord,
  identity: { producerId: bigint; epoch: number },
  settings: ClaimSettings,
) {
  const builder = new RecordBatchBuilder()
  const { producerId, epoch } = identity
  const text = { ...record, producerId: producerId.toString(), epoch, at: settings.clock.wall() }
  builder.add(OWNER_KEY, Buffer.from(JSON.stringify(text)))
  return builder.finish(settings.clock.wall())
}

function removed({ topic, partition }: TopicPartition): FreshetError {
  return new FreshetError(
    'STATE_REMOVED',
    `${topic}-${partition}: the log is empty although this task had state: the topic was emptied or made anew by hand, while what others counted of it stands; restore it from its replicas, or reset the whole application with \`freshet reset\``,
  )
}

interface Identity {
  readonly producerId: bigint
  readonly epoch: number
}

/** Producer id and epoch of the last batch in force, undefined for an empty log, and the log's end as seen. */
async function lastIdentity(
  transport: Transport,
  at: TopicPartition,
): Promise<{ last: Identity | undefined; end: number }> {
  const [{ start, end }] = await transport.topics.offsets([at])
  if (start > 0)
    throw new FreshetError(
      'CHANGELOG_CORRUPT',
      `${at.topic}-${at.partition}@0: the log begins at ${start}; what stood below was removed, by hand or by a cleanup.policy other than compact: restore the topic from its replicas, or begin anew with \`freshet reset\``,
    )
  if (end === start) return { last: undefined, end }
  const found = (await lastFrom(transport, at, end - 1)) ?? (await lastFrom(transport, at, start))
  if (found === undefined || found.producerId < 0n)
    throw new FreshetError(
      'CHANGELOG_CORRUPT',
      `${at.topic}-${at.partition}@${end - 1}: the last batch was not written by a task (no producer id): someone else wrote to this topic; begin anew with \`freshet reset\``,
    )
  return { last: found, end: found.end }
}

/** The last batch in force at or behind `offset`, and where the log ended. */
async function lastFrom(
  transport: Transport,
  at: TopicPartition,
  offset: number,
): Promise<(Identity & { end: number }) | undefined> {
  let last: Identity | undefined
  for (let from = offset; ; ) {
    const { batches, nextOffset, highWatermark } = await transport.read(at, from, { maxWaitMs: 0 })
    for (const batch of batches)
      if (!isVoid(batch)) last = { producerId: batch.producerId, epoch: batch.producerEpoch }
    if (batches.length === 0 || nextOffset >= highWatermark)
      return last && { ...last, end: nextOffset }
    from = nextOffset
  }
}

/** The opening of a line at which someone else was first: its writer has turned away. */
function isVoid(batch: FetchedBatch): boolean {
  const first = batch.records[0]
  if (!first?.key?.equals(OWNER_KEY) || !first.value) return false
  const where = `${batch.topic}-${batch.partition}@${first.offset}`
  const { opensAt } = readOwnerRecord(first.value, where)
  return opensAt !== undefined && opensAt !== first.offset
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
        return readOwnerRecord(record.value, `${at.topic}-${at.partition}@${offset}`).uuid
  return undefined
}

/** Epochs are used up: the highest epoch is put on every partition the line wrote, so that no zombie of it is accepted. */
async function closeLine(
  settings: ClaimSettings,
  last: { producerId: bigint; epoch: number },
  stale: () => boolean,
): Promise<void> {
  const identity = { producerId: last.producerId, epoch: last.epoch + 1 }
  // the changelog last: its closing record says that all others stand
  for (const at of [...settings.outboxPartitions(), settings.changelog]) {
    const builder = new RecordBatchBuilder()
    builder.add(OWNER_KEY, Buffer.from(JSON.stringify({ closed: last.producerId.toString() })))
    if (stale()) return
    try {
      // a writer each: one that was refused somewhere writes nowhere else
      const writer = settings.transport.writer({
        ...identity,
        deadlineMs: settings.writerDeadlineMs,
      })
      await writer.append(at, builder.finish(settings.clock.wall()))
    } catch (error) {
      if (!(error instanceof FreshetError && error.code === 'FENCED')) throw error
    }
  }
}
