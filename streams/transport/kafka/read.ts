/** The bounded read of the port: one fetch at one offset, for restore, claims and inspection. */
import { FreshetError } from '../../errors.ts'
import type { ReadResult, TopicPartition } from '../port.ts'
import { decodeRecordSet } from '../record-batch.ts'
import { Cluster, type ClusterContext, nameOf } from './cluster.ts'
import { codeName, isRetriable, OFFSET_OUT_OF_RANGE, refusal, retriable } from './codes.ts'
import { explainOutOfRange } from './offsets.ts'
import { type FetchedPart, fetchRequest } from './protocol.ts'

const LARGEST_BATCH_BYTES = 128 * 1024 * 1024

/** Checksums are checked: what is read here becomes state. */
export async function readOnce(
  cluster: Cluster,
  at: TopicPartition,
  offset: number,
  limits: { maxBytes: number; maxWaitMs: number },
): Promise<ReadResult> {
  let maxBytes = limits.maxBytes
  for (;;) {
    const part = await cluster.persist(`the leader of ${nameOf(at)}`, () =>
      fetchPart(cluster, at, offset, maxBytes, limits.maxWaitMs),
    )
    const set = part.recordSet
    const bounds = { highWatermark: part.highWatermark, logStart: part.logStart }
    if (set === null || set.length === 0) return { batches: [], nextOffset: offset, ...bounds }
    const decoded = decodeRecordSet(set, at.topic, at.partition, offset, {
      aborted: part.aborted,
      verifyChecksum: true,
    })
    if (decoded.nextOffset > offset)
      return { batches: decoded.batches, nextOffset: decoded.nextOffset, ...bounds }
    if (decoded.bytesUsed > 0) throw noProgress(at, offset)
    maxBytes *= 2
    if (maxBytes > LARGEST_BATCH_BYTES) throw noProgress(at, offset)
  }
}

export function noProgress(at: TopicPartition, offset: number): FreshetError {
  return new FreshetError(
    'STALLED',
    `reading ${nameOf(at)}@${offset}: the broker's answer holds bytes but nothing at or above that offset`,
  )
}

async function fetchPart(
  cluster: Cluster,
  at: TopicPartition,
  offset: number,
  maxBytes: number,
  maxWaitMs: number,
): Promise<FetchedPart> {
  const link = await cluster.leaderLink(at)
  const { topic, partition } = at
  const request = fetchRequest([{ topic, partition, offset, maxBytes }], { maxBytes, maxWaitMs })
  const answer = await link.send(request).catch((error: unknown) => {
    cluster.drop(link)
    cluster.forgetLeader(at)
    throw error
  })
  const part = answer.parts[0]
  const code = answer.errorCode || (part?.errorCode ?? -1)
  if (code === 0) return part
  const doing = `reading ${nameOf(at)}@${offset}`
  if (code === OFFSET_OUT_OF_RANGE) await explainOutOfRange(cluster, at, offset)
  else if (!isRetriable(code)) throw refusal(code, doing)
  cluster.forgetLeader(at)
  throw retriable(`${doing}: ${codeName(code)}`)
}

/**
 * Clusters to read with, one read on each at a time: a connection answers strictly in turn, so reads that share one
 * would wait for each other's long polls.
 */
export class ReadPool {
  private readonly context: ClusterContext
  private readonly idle: Cluster[] = []
  private readonly all: Cluster[] = []
  private isClosed = false

  constructor(context: ClusterContext) {
    this.context = context
  }

  async use<T>(work: (cluster: Cluster) => Promise<T>): Promise<T> {
    const cluster = this.idle.pop() ?? this.another()
    try {
      return await work(cluster)
    } finally {
      this.idle.push(cluster)
    }
  }

  private another(): Cluster {
    const cluster = new Cluster(this.context)
    if (this.isClosed) cluster.close()
    this.all.push(cluster)
    return cluster
  }

  close(): void {
    this.isClosed = true
    for (const cluster of this.all) cluster.close()
  }
}
