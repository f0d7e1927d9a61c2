/** The topic `freshet.references`: followed by workers, read and written by `freshet reference`. */
import type { Clock } from '../streams/clock.ts'
import type { Logger } from '../streams/log.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import type { LogRecord, Transport } from '../streams/transport/port.ts'
import {
  decodeReference,
  encodeReference,
  ReferenceBook,
  referenceKey,
  type SetReference,
} from '../topologies/drift/reference-book.ts'
import { followTopic, readTopic } from './followed-topic.ts'

/** Records in one send. One has some 5 KB. */
const BATCH = 50

interface ReferencesTopic {
  readonly transport: Transport
  readonly names: TopicNames
  readonly log: Logger
}

const topicOf = ({ names }: ReferencesTopic): string => names.outside('references')

function takeInto(book: ReferenceBook, at: ReferencesTopic) {
  return ({ key, value, offset }: LogRecord): void => {
    const decoded = value === null ? null : decodeReference(value)
    if (decoded !== null && 'bad' in decoded)
      at.log.warn({}, `${topicOf(at)}-0@${offset}: ${decoded.bad}: passed over`)
    else book.take(String(key), decoded)
  }
}

export async function followReferences(
  at: ReferencesTopic & { readonly clock: Clock },
): Promise<{ readonly book: ReferenceBook; close(): Promise<void> }> {
  const book = new ReferenceBook()
  const followed = await followTopic({ ...at, topic: topicOf(at) }, takeInto(book, at))
  return { book, close: () => followed.close() }
}

export async function readReferences(at: ReferencesTopic): Promise<ReferenceBook> {
  const book = new ReferenceBook()
  await readTopic({ ...at, topic: topicOf(at) }, takeInto(book, at))
  return book
}

export async function publishReferences(
  at: ReferencesTopic,
  references: readonly SetReference[],
): Promise<void> {
  const publisher = at.transport.publisher()
  try {
    for (let i = 0; i < references.length; i += BATCH)
      await publisher.send(
        topicOf(at),
        references.slice(i, i + BATCH).map(reference => ({
          key: Buffer.from(referenceKey(reference)),
          value: encodeReference(reference),
        })),
      )
  } finally {
    await publisher.close()
  }
}
