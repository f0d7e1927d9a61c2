/** An outside topic of one partition, compacted, that a process follows whole: what stands there, then every change. */
import type { Clock } from '../streams/clock.ts'
import { FreshetError, messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import { readUpTo } from '../streams/runtime/restore.ts'
import type { LogReader, LogRecord, TopicPartition, Transport } from '../streams/transport/port.ts'

const POLL_MS = 500
const RETRY_MS = 1_000

interface FollowedTopicSettings {
  readonly transport: Transport
  readonly topic: string
  readonly clock: Clock
  readonly log: Logger
}

/** All records as they stand, in order. Errors: TOPIC_MISSING with how to make it. Returns the offset after the last. */
export async function readTopic(
  { transport, topic }: Pick<FollowedTopicSettings, 'transport' | 'topic'>,
  onRecord: (record: LogRecord) => void,
  cancelled: () => boolean = () => false,
): Promise<number> {
  const at = { topic, partition: 0 }
  if (!(await transport.topics.describe([topic])).has(topic))
    throw new FreshetError(
      'TOPIC_MISSING',
      `there is no topic ${topic}: \`freshet topics create\` makes it`,
    )
  const [{ end }] = await transport.topics.offsets([at])
  const take = ({ records }: { readonly records: readonly LogRecord[] }): void =>
    records.forEach(onRecord)
  await readUpTo(transport, at, end, take, cancelled)
  return end
}

/**
 * Hands over every record, those that stand there now before it resolves. A record may be handed over again after a fault.
 * Where there is no such topic yet it is looked for again and again: an application made before there was one runs on.
 */
export async function followTopic(
  settings: FollowedTopicSettings,
  onRecord: (record: LogRecord) => void,
): Promise<{ close(): Promise<void> }> {
  const { transport, topic, clock, log } = settings
  const at: TopicPartition = { topic, partition: 0 }
  let closed = false
  let reader: LogReader | undefined
  const whole = (): Promise<number> => readTopic(settings, onRecord, () => closed)

  const goOn = async (from: number | undefined): Promise<void> => {
    let next = from
    while (!closed) {
      try {
        next ??= await whole()
        if (!reader) {
          reader = transport.reader()
          reader.assign(at, next)
        }
        for (const batch of await reader.poll(POLL_MS)) {
          batch.records.forEach(onRecord)
          next = batch.nextOffset
        }
      } catch (error) {
        if (closed) return
        if (!isMissing(error)) log.warn({ error: messageOf(error) }, `${topic} is read anew`)
        // of a broken connection closing may fail too: the following goes on
        await reader?.close().catch(() => undefined)
        reader = undefined
        next = undefined
        await clock.sleep(RETRY_MS)
      }
    }
  }

  let next: number | undefined
  try {
    next = await whole()
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  const following = goOn(next)
  return {
    async close() {
      closed = true
      await reader?.close()
      await following
    },
  }
}

/** There is no such topic. */
export const isMissing = (error: unknown): boolean =>
  error instanceof FreshetError && error.code === 'TOPIC_MISSING'
