/**
 * A replay's records out of an archive, partition by partition. Memory: two parts of a file (256 KB each) and one run a
 * partition.
 *
 *  - A1 What the archive should hold and does not ends it: a file that is damaged, missing, of another topic, partition or
 *       partition count, or offsets that stand in no file or in two.
 *  - A2 What had left the log before it was archived (`lost`) is passed over: the archive's manifest notes it.
 */
import { FreshetError } from '../../streams/errors.ts'
import { filesOf, type Manifest } from '../archive/manifest.ts'
import type { ArchiveReader } from '../archive/reader.ts'
import { continuity } from '../archive/verify.ts'
import type { RecordSource, SourceRecord } from '../shadow/source.ts'

export function archiveSource(reader: ArchiveReader): RecordSource {
  return {
    read: (topic, partition, from, to) => readPartition(reader, topic, partition, from, to),
    close: async () => undefined,
  }
}

async function* readPartition(
  reader: ArchiveReader,
  topic: string,
  partition: number,
  from: number,
  to: number,
): AsyncGenerator<SourceRecord[]> {
  checkPartition(reader, topic, partition, from, to)
  const range = { topics: [topic], partitions: [partition], offsets: () => ({ from, to }) }
  let next = from
  for await (const run of reader.read(range)) {
    for (const { offset } of run) {
      if (offset < next)
        throw new FreshetError(
          'ARCHIVE_DAMAGED',
          `the archive's offset ${offset} of ${topic}-${partition} stands behind ${next - 1}; \`freshet archive verify\` says what else is wrong`,
        )
      next = offset + 1
    }
    yield run
  }
}

/** Errors: TOPIC_MISSING, POSITION_LOST where retention removed what is asked for, ARCHIVE_DAMAGED (A1). */
function checkPartition(
  { manifest }: ArchiveReader,
  topic: string,
  partition: number,
  from: number,
  to: number,
): void {
  const place = manifest.topics
    .find(({ name }) => name === topic)
    ?.partitions.find(one => one.partition === partition)
  const where = `${topic}-${partition}`
  if (place === undefined)
    throw new FreshetError(
      'TOPIC_MISSING',
      `the archive has no ${where}; it has ${manifest.topics.map(({ name, partitions }) => `${name} with ${partitions.length} partitions`).join(', ')}`,
    )
  if (from < place.kept && to > from)
    throw new FreshetError(
      'POSITION_LOST',
      `the archive holds ${where} from offset ${place.kept} on, and ${from} to ${Math.min(place.kept, to) - 1} are to be read: its retention removed them; begin another replay from what is left`,
      undefined,
      { topic, partition },
    )
  refuseHoles(manifest, topic, partition)
}

/** Errors: ARCHIVE_DAMAGED where offsets of the partition stand in no file, or in two. */
export function refuseHoles(manifest: Manifest, topic: string, partition: number): void {
  const place = manifest.topics
    .find(({ name }) => name === topic)
    ?.partitions.find(one => one.partition === partition)
  if (place === undefined) return
  const files = filesOf(manifest, topic, partition)
  const fault = continuity(`${topic}-${partition}`, place, files).find(
    ({ kind }) => kind !== 'lost',
  )
  if (fault !== undefined)
    throw new FreshetError(
      'ARCHIVE_DAMAGED',
      `${fault.message}; \`freshet archive verify\` says what else is wrong`,
    )
}
