/** Logs to archive, and archives to look at, for tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ArchiveReport, type ArchiveSettings, archive } from '../../replay/archive/archiver.ts'
import type { ArchivedRecord } from '../../replay/archive/format.ts'
import { ArchiveReader, type ReadRange } from '../../replay/archive/reader.ts'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type {
  FetchedBatch,
  OutsideRecord,
  TopicPartition,
  Transport,
} from '../../streams/transport/port.ts'

export const HOUR = 3_600_000
/** An hour's beginning, long ago. */
export const T0 = Date.UTC(2026, 8, 1, 10)

const folders: string[] = []

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'freshet-archive-'))
  folders.push(folder)
  return folder
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}

export const topicsOf = (...names: string[]) =>
  names.map(name => ({ name, topic: `freshet.${name}`, compacted: name === 'items' }))

/** A memory log with the topics, and what archives it. */
export async function newLog(
  partitions: number,
  names: readonly string[] = ['events', 'items', 'erasures'],
) {
  const transport = createEmbeddedTransport({ memory: true, cleanEveryMs: 1_000_000 })
  await transport.topics.create(
    names.map(name => {
      const config: Record<string, string> = {}
      if (name === 'items') config['cleanup.policy'] = 'compact'
      return { topic: `freshet.${name}`, partitions, config }
    }),
  )
  const registry = new SchemaRegistry({ url: 'mock://archive-tests' })
  const encoder = await Encoder.open(registry, 'freshet.')
  const publisher = transport.publisher()
  const send = (name: string, records: readonly OutsideRecord[]) =>
    publisher.send(`freshet.${name}`, records)
  return { transport, registry, encoder, send }
}

/** Its readers give one batch a poll. */
export const slowly = (transport: Transport): Transport => ({
  ...transport,
  reader() {
    const reader = transport.reader()
    const waiting: FetchedBatch[] = []
    return new Proxy(reader, {
      get(of, name) {
        if (name !== 'poll') {
          const value: unknown = Reflect.get(of, name)
          return typeof value === 'function' ? value.bind(of) : value
        }
        return async (maxWaitMs: number) => {
          if (waiting.length === 0) waiting.push(...(await of.poll(maxWaitMs)))
          return waiting.splice(0, 1)
        }
      },
    })
  },
})

export type Archiving = Pick<ArchiveSettings, 'transport' | 'source'> & Partial<ArchiveSettings>

export const run = (dir: string, settings: Archiving): Promise<ArchiveReport> =>
  archive({
    dir,
    topics: topicsOf('events', 'items', 'erasures'),
    clock: systemClock,
    log: silentLogger,
    ...settings,
  })

export async function readArchive(dir: string, range?: ReadRange): Promise<ArchivedRecord[]> {
  const records: ArchivedRecord[] = []
  for await (const part of ArchiveReader.open(dir).read(range)) records.push(...part)
  return records
}

/** What the log has in a partition, as plain values. */
export async function logged(transport: Transport, at: TopicPartition): Promise<unknown[]> {
  const all: unknown[] = []
  const [{ start, end }] = await transport.topics.offsets([at])
  for (let offset = start; offset < end; ) {
    const { batches, nextOffset } = await transport.read(at, offset, { maxWaitMs: 1000 })
    for (const { records } of batches) all.push(...records.map(plain))
    offset = nextOffset
  }
  return all
}

export const plain = (
  record: Pick<ArchivedRecord, 'offset' | 'timestamp' | 'key' | 'value' | 'headers'>,
) => ({
  offset: record.offset,
  timestamp: record.timestamp,
  key: record.key?.toString('latin1') ?? null,
  value: record.value?.toString('latin1') ?? null,
  headers: record.headers.map(one => [one.key, one.value.toString('latin1')]),
})
