/** The topic `freshet.experiments` (CONTRACT 1): followed by workers, read and written by `freshet experiments`. */
import { Decoder, type Encoder, type Experiment, type SchemaRegistry } from '../schemas/index.ts'
import { type Clock, systemClock } from '../streams/clock.ts'
import { FreshetError, messageOf } from '../streams/errors.ts'
import { type Logger, silentLogger } from '../streams/log.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import type { LogRecord, Transport } from '../streams/transport/port.ts'
import { ExperimentBook } from '../topologies/experiments/book.ts'
import type { Call, Values } from './call.ts'
import { REACH_MS } from './compose.ts'
import { followTopic, isMissing, readTopic } from './followed-topic.ts'
import { openLog } from './opened-log.ts'

interface ExperimentsTopic {
  readonly transport: Transport
  readonly names: TopicNames
  readonly registry: SchemaRegistry
  readonly clock: Clock
  readonly log: Logger
}

const topicOf = ({ names }: ExperimentsTopic): string => names.outside('experiments')

/**
 * Takes records into a book one after another: reading a schema for the first time takes a while. What is no experiment, or
 * not one that can run, is as if it were not there, and said so.
 */
function taking(book: ExperimentBook, at: ExperimentsTopic, signal?: AbortSignal) {
  const decoder = new Decoder('experiments', at.registry, at.clock)
  const take = async ({ key, value, offset }: LogRecord): Promise<void> => {
    const name = String(key)
    const where = `${topicOf(at)}-0@${offset}: ${name}`
    try {
      const decoded = await decode(decoder, value, signal)
      if (decoded !== null && 'bad' in decoded)
        at.log.warn({}, `${where} is no freshet.Experiment (${decoded.bad}): passed over`)
      const problems = book.apply(name, decoded === null || 'bad' in decoded ? null : decoded)
      if (problems.length > 0) at.log.warn({}, `${where} does not run: ${problems.join('; ')}`)
    } catch (error) {
      at.log.warn({ error: messageOf(error) }, `${where} can't be read: passed over`)
    }
  }
  let taken: Promise<void> = Promise.resolve()
  return {
    onRecord(record: LogRecord): void {
      taken = taken.then(() => take(record))
    },
    /** All records so far are taken in. */
    taken: () => taken,
  }
}

async function decode(
  decoder: Decoder<'experiments'>,
  value: Buffer | null,
  signal?: AbortSignal,
): Promise<Experiment | { readonly bad: string } | null> {
  if (value === null) return null
  let decoded = decoder.decode(value)
  if ('needs' in decoded) {
    await decoder.resolve(decoded.needs, signal)
    decoded = decoder.decode(value)
  }
  if ('record' in decoded) return decoded.record
  return { bad: 'bad' in decoded ? decoded.message : 'its schema is not known' }
}

/** Resolves once what stands on the topic is known; changes act within a second. */
export async function followExperiments(
  at: ExperimentsTopic,
  values: Values,
): Promise<{ readonly book: ExperimentBook; close(): Promise<void> }> {
  const book = new ExperimentBook(values)
  const { onRecord, taken } = taking(book, at)
  const followed = await followTopic({ ...at, topic: topicOf(at) }, onRecord)
  await taken()
  return { book, close: () => followed.close() }
}

/**
 * What stands on the topic now, for whoever only looks; the built-in one alone where there is no topic yet. Errors:
 * DEPENDENCY_UNREACHABLE where the registry does not give the schemas.
 */
export async function lookAtExperiments(
  at: ExperimentsTopic,
  values: Values,
): Promise<ExperimentBook> {
  const book = new ExperimentBook(values)
  const given = new AbortController()
  const timer = setTimeout(() => given.abort(), REACH_MS)
  try {
    const { onRecord, taken } = taking(book, { ...at, log: silentLogger }, given.signal)
    await readTopic({ transport: at.transport, topic: topicOf(at) }, onRecord)
    await taken()
  } catch (error) {
    if (!isMissing(error)) throw error
  } finally {
    clearTimeout(timer)
  }
  if (given.signal.aborted)
    throw new FreshetError('DEPENDENCY_UNREACHABLE', 'the schema registry does not answer')
  return book
}

export interface OpenedExperiments {
  /** What stands there now. Errors: TOPIC_MISSING with how to make it. */
  read(): Promise<ExperimentBook>
  put(experiment: Experiment): Promise<void>
  close(): Promise<void>
}

/** The topic for one call of the command; made where the log is embedded. Errors: what can't be reached, in a sentence. */
export async function openExperiments(call: Call): Promise<OpenedExperiments> {
  const opened = await openLog(call)
  const at = { ...opened, clock: systemClock }
  return {
    async read() {
      const book = new ExperimentBook(call.values)
      const { onRecord, taken } = taking(book, at)
      await readTopic({ transport: opened.transport, topic: topicOf(at) }, onRecord)
      await taken()
      return book
    },
    put: experiment => put(at, opened.encoder, experiment),
    close: () => opened.close(),
  }
}

async function put(at: ExperimentsTopic, encoder: Encoder, experiment: Experiment): Promise<void> {
  const publisher = at.transport.publisher()
  try {
    const key = Buffer.from(experiment.experiment)
    const value = encoder.encode('Experiment', experiment)
    await publisher.send(topicOf(at), [{ key, value }])
  } finally {
    await publisher.close()
  }
}
