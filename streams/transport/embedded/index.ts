/**
 * The embedded transport: Kafka's log semantics in one process, on LMDB or in memory. What Kafka's brokers promise holds
 * here by `test/contracts/transport.contract.ts`; what an acknowledged append survives stands in `lmdb-storage.ts`.
 */
import { type Clock, systemClock } from '../../clock.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import { type Logger, silentLogger } from '../../log.ts'
import type { GroupSpec, ReadResult, TopicPartition, Transport } from '../port.ts'
import { clean } from './cleaner.ts'
import { lmdbReader, lmdbStorage } from './lmdb-storage.ts'
import { EmbeddedReader } from './reader.ts'
import { memoryStorage } from './storage.ts'
import { EmbeddedTopics } from './topics.ts'
import { WakeUp } from './wake.ts'
import { EmbeddedPublisher, EmbeddedWriter } from './writer.ts'

export interface EmbeddedTransportOptions {
  /** Where the logs stand; made if absent. One process at a time. */
  readonly dir?: string
  /** Only to look, also while another process has `dir` open: sees what stood there when it was opened, and cleans nothing. */
  readonly readOnly?: boolean
  /** Keeps everything in memory instead. */
  readonly memory?: boolean
  /** Dates published records and decides what is past its retention. */
  readonly clock?: Clock
  readonly log?: Logger
  /** How often logs are compacted and expired: 15 s, as Kafka's cleaner backs off when it finds nothing to do. */
  readonly cleanEveryMs?: number
}

export interface EmbeddedTransport extends Transport {
  /** One pass of the cleaner over all logs, now. */
  clean(): Promise<void>
}

const DEFAULT_READ_BYTES = 4 << 20

/** Opens or makes the logs. Errors: CALL_INVALID if another live process has `dir` open. */
export function createEmbeddedTransport(options: EmbeddedTransportOptions): EmbeddedTransport {
  const { dir, clock = systemClock, log = silentLogger, cleanEveryMs = 15_000 } = options
  if ((dir === undefined) === (options.memory !== true))
    throw new FreshetError('CALL_INVALID', 'the embedded transport takes `dir` or `memory`')
  const { readOnly = false } = options
  const storage =
    dir === undefined ? memoryStorage() : readOnly ? lmdbReader(dir) : lmdbStorage(dir)
  const news = new WakeUp()
  const topics = new EmbeddedTopics(storage, () => news.wake())
  let closed = false
  let pass: Promise<void> | undefined

  const cleanAll = async (): Promise<void> => {
    for (const partition of [...topics.logs()]) {
      if (closed) return
      await clean(partition, storage, clock.now())
    }
  }
  const runPass = (): Promise<void> => {
    pass ??= cleanAll().finally(() => {
      pass = undefined
    })
    return pass
  }
  const timer = setInterval(() => {
    if (readOnly) return
    runPass().catch((error: unknown) => {
      log.error({ error: messageOf(error) }, 'the embedded log could not be cleaned')
    })
  }, cleanEveryMs)
  timer.unref()

  return {
    name: 'embedded',
    topics,
    async read(at: TopicPartition, offset, limits = {}): Promise<ReadResult> {
      const deadline = performance.now() + (limits.maxWaitMs ?? 0)
      for (;;) {
        const partition = topics.logAt(at)
        const read = partition.read(offset, limits.maxBytes ?? DEFAULT_READ_BYTES)
        const leftMs = deadline - performance.now()
        if (read.nextOffset > offset || leftMs <= 0 || closed)
          return { ...read, highWatermark: partition.highWatermark, logStart: partition.start }
        await news.wait(leftMs)
      }
    },
    reader: () => new EmbeddedReader(topics.logAt, news),
    newProducerId: () => topics.newProducerId(),
    writer: identity => new EmbeddedWriter(identity, topics.logAt),
    publisher: () => new EmbeddedPublisher(topics.logAt, topics.partitionsOf, clock),
    async join(group: GroupSpec) {
      await group.onAssigned(await group.tasks())
      return { async commitOffsets() {}, async leave() {} }
    },
    waiting: () => undefined,
    clean: runPass,
    async close() {
      if (closed) return
      closed = true
      clearInterval(timer)
      news.wake()
      await pass
      await storage.close()
    },
  }
}
