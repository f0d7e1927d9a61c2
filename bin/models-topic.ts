/** The topic `freshet.models` (CONTRACT 1): reads it, follows it, writes to it. What stands there: topologies/models/shelf.ts. */
import { createHash } from 'node:crypto'
import { Decoder, type Encoder, type Model, type SchemaRegistry } from '../schemas/index.ts'
import { type Clock, systemClock } from '../streams/clock.ts'
import { FreshetError, messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import { readUpTo } from '../streams/runtime/restore.ts'
import type { LogReader, LogRecord, Transport } from '../streams/transport/port.ts'
import { CHUNK_BYTES, keyOf, type Manifest, parseKey, Shelf } from '../topologies/models/shelf.ts'
import type { Call } from './call.ts'
import { openLog } from './opened-log.ts'

const POLL_MS = 500
const RETRY_MS = 1_000

export interface ModelsTopicSettings {
  readonly transport: Transport
  readonly names: TopicNames
  readonly registry: SchemaRegistry
  readonly clock: Clock
  readonly log: Logger
}

export class ModelsTopic {
  private readonly settings: ModelsTopicSettings
  private readonly at: { readonly topic: string; readonly partition: 0 }
  private readonly decoder: Decoder<'models'>
  private shelf = new Shelf()
  private reader: LogReader | undefined
  private following: Promise<void> | undefined
  private isClosed = false

  constructor(settings: ModelsTopicSettings) {
    this.settings = settings
    this.at = { topic: settings.names.outside('models'), partition: 0 }
    this.decoder = new Decoder('models', settings.registry, settings.clock)
  }

  /** What stands there now. Errors: TOPIC_MISSING with how to make it. */
  async read(): Promise<Shelf> {
    const shelf = new Shelf()
    await this.fold(shelf)
    return shelf
  }

  /** The bytes of a model, whole and of its sha256, or why not. */
  async bytesOf({
    name,
    sha256,
    chunks,
  }: Manifest): Promise<Uint8Array | { readonly missing: string }> {
    const chunkOf = (record: LogRecord): number => {
      const key = parseKey(String(record.key))
      const isOurs = key?.kind === 'chunk' && key.name === name && key.sha256 === sha256
      return isOurs && key.chunk < chunks ? key.chunk : -1
    }
    const { records } = await this.readAll(record => chunkOf(record) !== -1)
    const parts = Array<Buffer | undefined>(chunks).fill(undefined)
    for (const record of records) parts[chunkOf(record)] = (await this.decode(record))?.bytes
    const missing = parts.indexOf(undefined)
    const again = `push it again: \`freshet models push FILE.onnx --name ${name}\``
    if (missing !== -1)
      return {
        missing: `${this.at.topic} has no ${keyOf.chunk(name, sha256, missing)}, one of its ${chunks} chunks: ${again}`,
      }
    const bytes = Buffer.concat(parts.filter(part => part !== undefined))
    const sum = createHash('sha256').update(bytes).digest('hex')
    if (sum === sha256) return bytes
    return {
      missing: `the ${chunks} chunks of ${name}@${sha256} on ${this.at.topic} have the sha256 ${sum}: ${again}`,
    }
  }

  /** Writes a model: its chunks, then the manifest. */
  async push(manifest: Manifest, model: Uint8Array, encoder: Encoder): Promise<void> {
    const { name, sha256, chunks, sizeBytes, featureHash, lineage, pushedAt } = manifest
    const publisher = this.settings.transport.publisher()
    try {
      for (let chunk = 0; chunk < chunks; chunk++) {
        const part = model.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)
        const bytes = Buffer.from(part.buffer, part.byteOffset, part.length)
        const record = { name, sha256, ts: pushedAt, chunks, chunk, bytes, sizeBytes }
        const key = Buffer.from(keyOf.chunk(name, sha256, chunk))
        await publisher.send(this.at.topic, [{ key, value: encoder.encode('Model', record) }])
      }
      const record = { name, sha256, ts: pushedAt, chunks, sizeBytes, featureHash, lineage }
      const key = Buffer.from(keyOf.manifest(name, sha256))
      await publisher.send(this.at.topic, [{ key, value: encoder.encode('Model', record) }])
    } finally {
      await publisher.close()
    }
  }

  /** Points a name at one of its models. */
  async promote(manifest: Manifest, previous: string, encoder: Encoder): Promise<void> {
    const { name, sha256, featureHash } = manifest
    const ts = this.settings.clock.now()
    const lineage: Record<string, string> = previous === '' ? {} : { previous }
    const value = encoder.encode('Model', { name, sha256, ts, featureHash, lineage })
    const publisher = this.settings.transport.publisher()
    try {
      await publisher.send(this.at.topic, [{ key: Buffer.from(keyOf.pointer(name)), value }])
    } finally {
      await publisher.close()
    }
  }

  /** Calls `changed` with what stands there now, then again and again while it is followed; one call at a time. */
  async follow(changed: (shelf: Shelf) => Promise<void>): Promise<void> {
    const next = await this.fold(this.shelf)
    await changed(this.shelf)
    this.following = this.goOn(next, changed)
  }

  async close(): Promise<void> {
    this.isClosed = true
    await this.reader?.close()
    await this.following
  }

  private async goOn(from: number, changed: (shelf: Shelf) => Promise<void>): Promise<void> {
    const { transport, clock, log } = this.settings
    let next = from
    while (!this.isClosed) {
      try {
        this.reader ??= this.readerAt(transport, next)
        for (const batch of await this.reader.poll(POLL_MS)) {
          for (const record of batch.records) await this.apply(this.shelf, record)
          next = batch.nextOffset
        }
        await changed(this.shelf)
      } catch (error) {
        if (this.isClosed) return
        log.warn({ error: messageOf(error) }, `${this.at.topic} is read anew`)
        await this.reader?.close()
        this.reader = undefined
        await clock.sleep(RETRY_MS)
        next = await this.foldAnew(next)
      }
    }
  }

  private readerAt(transport: Transport, offset: number): LogReader {
    const reader = transport.reader()
    reader.assign(this.at, offset)
    return reader
  }

  /** Folds all of it into a new shelf; the offset to go on at, `next` where it still can't be read. */
  private async foldAnew(next: number): Promise<number> {
    const shelf = new Shelf()
    try {
      const end = await this.fold(shelf)
      this.shelf = shelf
      return end
    } catch (error) {
      this.settings.log.warn({ error: messageOf(error) }, `${this.at.topic} can't be read yet`)
      return next
    }
  }

  /** Returns the offset after the last record. */
  private async fold(shelf: Shelf): Promise<number> {
    const { records, end } = await this.readAll(record => !isChunk(record))
    for (const record of records) await this.apply(shelf, record)
    return end
  }

  private async apply(shelf: Shelf, record: LogRecord): Promise<void> {
    if (isChunk(record)) return
    const key = String(record.key)
    if (parseKey(key) === undefined)
      this.settings.log.warn(
        {},
        `${this.at.topic}-0@${record.offset}: ${JSON.stringify(key)} is no key of a model (NAME, NAME@SHA256, NAME@SHA256#CHUNK): passed over`,
      )
    else shelf.apply(key, await this.decode(record))
  }

  /** The wanted records up to the end as it is now, in order, and the offset of that end. */
  private async readAll(
    wanted: (record: LogRecord) => boolean,
  ): Promise<{ readonly records: readonly LogRecord[]; readonly end: number }> {
    const { transport } = this.settings
    const { topic } = this.at
    if (!(await transport.topics.describe([topic])).has(topic))
      throw new FreshetError(
        'TOPIC_MISSING',
        `there is no topic ${topic}: \`freshet topics create\` makes it`,
      )
    const [{ end }] = await transport.topics.offsets([this.at])
    const records: LogRecord[] = []
    await readUpTo(
      transport,
      this.at,
      end,
      batch => records.push(...batch.records.filter(wanted)),
      () => this.isClosed,
    )
    return { records, end }
  }

  /** What can't be read counts as not there. */
  private async decode(record: LogRecord): Promise<Model | null> {
    if (record.value === null) return null
    let decoded = this.decoder.decode(record.value)
    if ('needs' in decoded) {
      await this.decoder.resolve(decoded.needs)
      decoded = this.decoder.decode(record.value)
    }
    if ('record' in decoded) return decoded.record
    this.settings.log.warn(
      {},
      `${this.at.topic}-0@${record.offset}: ${String(record.key)} is no freshet.Model (${'bad' in decoded ? decoded.message : 'its schema is not known'}): passed over`,
    )
    return null
  }
}

const isChunk = (record: LogRecord): boolean => parseKey(String(record.key))?.kind === 'chunk'

export interface OpenedModels {
  readonly topic: ModelsTopic
  readonly encoder: Encoder
  readonly transport: Transport
  close(): Promise<void>
}

/** The topic for one call of the command; made where the log is embedded. Errors: what can't be reached, in a sentence. */
export async function openModels(call: Call): Promise<OpenedModels> {
  const opened = await openLog(call)
  const topic = new ModelsTopic({ ...opened, clock: systemClock })
  return {
    topic,
    encoder: opened.encoder,
    transport: opened.transport,
    async close() {
      await topic.close()
      await opened.close()
    },
  }
}
