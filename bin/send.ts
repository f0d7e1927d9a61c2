/** Where imported and simulated records go: the topics, or a file of JSON lines (the plain JSON form of CONTRACT 1). */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { Encoder } from '../schemas/index.ts'
import { FreshetError, messageOf } from '../streams/errors.ts'
import { noMetrics } from '../streams/metrics.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import type { OutsideRecord, Publisher } from '../streams/transport/port.ts'
import type { Call } from './call.ts'
import { isEmbedded, namesOf, openSchemas, openTransport, REACH_MS } from './compose.ts'
import { createLogger } from './logger.ts'
import type { Progress } from './terminal.ts'
import { outsideTopicSpecs } from './topics.ts'

export interface Sendable {
  readonly topic: string
  readonly key: string
  readonly kind: 'Impression' | 'Watch' | 'Feedback' | 'Item' | 'Erasure'
  readonly record: object
}

const CHUNK = 2_000

interface Pace {
  /** Records a second at most; undefined: as fast as they are taken. */
  readonly perSecond?: number
  readonly progress?: Progress
  readonly total?: number
}

/** Sends in order; a chunk is acknowledged before the next one leaves. Returns how many were sent. */
async function sendToTopics(
  records: Iterable<Sendable>,
  to: { publisher: Publisher; encoder: Encoder; names: TopicNames },
  pace: Pace = {},
): Promise<number> {
  const chunk = pace.perSecond
    ? Math.max(1, Math.min(CHUNK, Math.ceil(pace.perSecond / 20)))
    : CHUNK
  const startedAt = Date.now()
  let sent = 0
  let batch = new Map<string, OutsideRecord[]>()
  let waiting = 0
  const flush = async (): Promise<void> => {
    for (const [topic, list] of batch) await to.publisher.send(topic, list)
    sent += waiting
    batch = new Map()
    waiting = 0
    pace.progress?.update(sent, pace.total)
    if (pace.perSecond) {
      const ahead = (sent / pace.perSecond) * 1000 - (Date.now() - startedAt)
      if (ahead > 0) await new Promise(resolve => setTimeout(resolve, ahead))
    }
  }
  for (const { topic, key, kind, record } of records) {
    const name = to.names.outside(topic)
    const encoded = { key: Buffer.from(key), value: to.encoder.encode(kind, record as never) }
    const list = batch.get(name)
    if (list) list.push(encoded)
    else batch.set(name, [encoded])
    if (++waiting >= chunk) await flush()
  }
  await flush()
  pace.progress?.end(sent)
  return sent
}

/** One line a record: {"type":"watch", ...}. Errors: CALL_INVALID where the file can't be written. */
function sendToFile(
  records: Iterable<Sendable>,
  file: string,
  progress: Progress,
  total?: number,
): number {
  let handle: number
  try {
    handle = openSync(file, 'w')
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `--to ${file} can't be written: ${messageOf(error)}`,
      error,
    )
  }
  let sent = 0
  let text = ''
  for (const { kind, record } of records) {
    text += `${JSON.stringify({ type: kind.toLowerCase(), ...record })}\n`
    if (++sent % CHUNK === 0) {
      writeSync(handle, text)
      text = ''
      progress.update(sent, total)
    }
  }
  writeSync(handle, text)
  closeSync(handle)
  progress.end(sent)
  return sent
}

/** To the topics of the call, made first where they are embedded, or to a file where `to` is not `kafka`. */
export async function send(
  call: Call,
  records: Iterable<Sendable>,
  to: string,
  total: number,
  pace: Pace & { readonly progress: Progress },
): Promise<number> {
  const { values } = call
  if (to !== 'kafka') return sendToFile(records, to, pace.progress, total)
  const around = { values, log: createLogger(values['log.level']), metrics: noMetrics }
  const transport = await openTransport(around, REACH_MS)
  const { registry, encoder } = await openSchemas(around)
  const names = namesOf(values)
  const publisher = transport.publisher()
  try {
    if (isEmbedded(values))
      await transport.topics.create(outsideTopicSpecs(names, values['topics.partitions']))
    return await sendToTopics(records, { publisher, encoder, names }, { ...pace, total })
  } finally {
    await publisher.close()
    registry.close()
    await transport.close()
  }
}
