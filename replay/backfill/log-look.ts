/** What a plan asks of a log before anything of it is read: the live topics or an archive. Topics by their short names. */
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { Transport } from '../../streams/transport/port.ts'
import type { Range } from '../archive/ranges.ts'
import type { ArchiveReader } from '../archive/reader.ts'
import type { RecordSource, SourceRecord } from '../shadow/source.ts'
import { archiveSource } from '../source/archive.ts'
import { kafkaSource } from '../source/kafka.ts'

export interface Bounds {
  /** Offsets that are there: [start, end). */
  readonly start: number
  readonly end: number
  /** Nothing was there before `start`. */
  readonly isBeginning: boolean
}

export interface LogLook {
  /** For messages. */
  readonly name: string
  readonly source: RecordSource
  /** 0 where there is no such topic. */
  partitions(topic: string): Promise<number>
  bounds(topic: string, partition: number): Promise<Bounds>
  /** At least the records with timestamps in [fromMs, toMs). */
  span(topic: string, partition: number, fromMs: number, toMs: number): Promise<Range>
}

export function lookAtTopics(transport: Transport, names: TopicNames): LogLook {
  const at = (topic: string, partition: number) => ({ topic: names.outside(topic), partition })
  return {
    name: 'the log',
    source: kafkaSource(transport, names),
    async partitions(topic) {
      const name = names.outside(topic)
      return (await transport.topics.describe([name])).get(name)?.partitions ?? 0
    },
    async bounds(topic, partition) {
      const [{ start, end }] = await transport.topics.offsets([at(topic, partition)])
      return { start, end, isBeginning: start === 0 }
    },
    async span(topic, partition, fromMs, toMs) {
      const place = at(topic, partition)
      const [{ start, end }] = await transport.topics.offsets([place])
      const from = fromMs > 0 ? await transport.topics.offsetAt(place, fromMs) : start
      const to = Number.isFinite(toMs) ? await transport.topics.offsetAt(place, toMs) : end
      return [Math.min(from, to), to]
    },
  }
}

export function lookAtArchive(reader: ArchiveReader): LogLook {
  const placeOf = (topic: string, partition: number) => {
    const found = reader.manifest.topics.find(({ name }) => name === topic)
    return found?.partitions.find(each => each.partition === partition)
  }
  return {
    name: 'the archive',
    source: archiveSource(reader),
    async partitions(topic) {
      return reader.manifest.topics.find(({ name }) => name === topic)?.partitions.length ?? 0
    },
    async bounds(topic, partition) {
      const { kept = 0, next = 0, lost = [] } = placeOf(topic, partition) ?? {}
      return { start: kept, end: next, isBeginning: kept === 0 && lost.length === 0 }
    },
    async span(topic, partition, fromMs, toMs) {
      const { kept = 0 } = placeOf(topic, partition) ?? {}
      const files = reader.manifest.files.filter(
        ({ topic: name, partition: number, timestamps }) =>
          name === topic && number === partition && timestamps !== null,
      )
      const within = files.filter(
        ({ timestamps }) => timestamps !== null && timestamps[1] >= fromMs && timestamps[0] < toMs,
      )
      const from = within[0]?.from ?? kept
      return [from, within.at(-1)?.next ?? from]
    },
  }
}

/** The first record at or after an offset, of those below `end`. */
export async function firstOf(
  { source }: LogLook,
  topic: string,
  partition: number,
  from: number,
  end: number,
): Promise<SourceRecord | undefined> {
  for await (const run of source.read(topic, partition, from, end)) return run[0]
  return undefined
}

/** Offsets that are looked through for a partition's last record: the very last may be a transaction's marker. */
const LOOKED_BACK = 64

export async function lastOf(
  { source }: LogLook,
  topic: string,
  partition: number,
  { start, end }: Bounds,
): Promise<SourceRecord | undefined> {
  let last: SourceRecord | undefined
  for await (const run of source.read(topic, partition, Math.max(start, end - LOOKED_BACK), end))
    last = run.at(-1)
  return last
}
