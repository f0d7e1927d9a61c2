/**
 * What a backfill compares with: the references that the live system has in force, or one that was set by name. They are
 * written into the replay's folder when it begins, so that one which is set meanwhile changes nothing.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FreshetError } from '../../streams/errors.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import { readUpTo } from '../../streams/runtime/restore.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { asSet } from '../../topologies/drift/reference.ts'
import {
  ReferenceBook,
  referenceKey,
  type SetReference,
} from '../../topologies/drift/reference-book.ts'
import { referenceOfRow } from '../../topologies/drift/state.ts'
import { nodeDisk, replaceFile } from '../archive/disk.ts'
import type { ReplayFolder } from '../shadow/folder.ts'

const FILE = 'references.json'

/** The whole ones, of all statistic tasks, as their changelogs have them; [] where there is no state. */
export async function liveReferences(
  transport: Transport,
  names: TopicNames,
): Promise<SetReference[]> {
  const topic = names.changelog('statistics')
  const partitions = (await transport.topics.describe([topic])).get(topic)?.partitions ?? 0
  const found: SetReference[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const rows = new Map<string, { key: Buffer; value: Buffer }>()
    const [{ end }] = await transport.topics.offsets([{ topic, partition }])
    await readUpTo(
      transport,
      { topic, partition },
      end,
      ({ records }) => {
        for (const { key, value } of records) {
          if (key === null) continue
          const name = key.toString('latin1')
          if (value === null) rows.delete(name)
          else rows.set(name, { key: Buffer.from(key), value: Buffer.from(value) })
        }
      },
      () => false,
    )
    for (const { key, value } of rows.values()) {
      const reference = referenceOfRow(key[0], key.subarray(1), value)
      if (reference && reference.groups !== null) found.push(asSet(reference))
    }
  }
  return found
}

/** Those in force, but for the series that `name` has: of these the one that was set last under it. Errors: CALL_INVALID. */
export function chosen(
  inForce: readonly SetReference[],
  book: ReferenceBook,
  name: string | undefined,
): SetReference[] {
  const all = new ReferenceBook(true)
  for (const each of inForce) all.take(`in force\n${referenceKey(each)}`, each)
  if (name === undefined) return all.newest()
  const named = book.all().filter(each => each.name === name)
  if (named.length === 0) {
    const known = [...new Set(book.all().map(each => each.name))].sort()
    throw new FreshetError(
      'CALL_INVALID',
      `--reference got ${JSON.stringify(name)}; ${known.length === 0 ? 'none was set: `freshet reference set` does' : `those that were set are ${known.join(', ')}`}`,
    )
  }
  const newest = new ReferenceBook(true)
  for (const each of named) newest.take(referenceKey(each), each)
  const has = new Set(newest.newest().map(seriesOf))
  return [...newest.newest(), ...all.newest().filter(each => !has.has(seriesOf(each)))]
}

const seriesOf = ({ subject, segment, size }: SetReference): string =>
  [subject, segment, size].join('\n')

export const putReferences = (
  folder: ReplayFolder,
  references: readonly SetReference[],
): Promise<void> => replaceFile(nodeDisk(folder.dir), FILE, Buffer.from(JSON.stringify(references)))

/** The book of a backfill's folder: whole where it was given references, else one that collects. */
export function givenReferences(folder: ReplayFolder): ReferenceBook {
  const list = JSON.parse(readFileSync(join(folder.dir, FILE), 'utf8')) as SetReference[]
  const book = new ReferenceBook(list.length > 0)
  for (const each of list) book.take(referenceKey(each), each)
  return book
}
