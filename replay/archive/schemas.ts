/**
 * The schemas that an archive carries: every id that stands in a value's framing, as the registry has it, in schemas/<id>.json.
 * So values decode when the registry has forgotten an id, or is another one.
 */
import { createHash } from 'node:crypto'
import type { SchemaSource } from '../../schemas/index.ts'
import type { FoundSchema } from '../../schemas/registry.ts'
import { messageOf } from '../../streams/errors.ts'
import { type Disk, replaceFile } from './disk.ts'
import { damaged, missing } from './format.ts'
import type { Manifest, SchemaEntry } from './manifest.ts'

/** More ids than that are no schemas, but values that begin with 0 by chance. */
const MOST_SCHEMAS = 10_000

const schemaPath = (id: number): string => `schemas/${id}.json`

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/**
 * Fetches what is not there yet: `ids`, those pending, and with `missing` those that the registry did not know last time.
 * Gives the schemas of the manifest as they stand then, and why some are still pending.
 */
export async function fetchSchemas(
  disk: Disk,
  source: SchemaSource,
  before: readonly SchemaEntry[],
  ids: Iterable<number>,
  missing: boolean,
): Promise<{ schemas: SchemaEntry[]; problem: string | undefined }> {
  const entries = new Map(before.map(entry => [entry.id, entry]))
  const wanted = new Set<number>()
  for (const { id, state } of before)
    if (state === 'pending' || (missing && state === 'missing')) wanted.add(id)
  for (const id of ids) if (!entries.has(id)) wanted.add(id)
  let problem: string | undefined
  for (const id of wanted) {
    if (!entries.has(id) && entries.size >= MOST_SCHEMAS) break
    let found: FoundSchema | null | undefined
    // a registry that is away is asked once a time
    if (problem === undefined) {
      try {
        found = await source.find(id)
      } catch (error) {
        problem = messageOf(error)
      }
    }
    if (found === undefined) {
      if (!entries.has(id)) entries.set(id, { id, state: 'pending' })
    } else if (found === null) entries.set(id, { id, state: 'missing' })
    else {
      const { type, text, references } = found
      const json = { id, type, schema: text, references }
      const bytes = Buffer.from(`${JSON.stringify(json, null, 1)}\n`)
      await replaceFile(disk, schemaPath(id), bytes)
      entries.set(id, { id, state: 'known', sha256: sha256(bytes) })
    }
  }
  return { schemas: [...entries.values()].sort((a, b) => a.id - b.id), problem }
}

/** Errors: ARCHIVE_DAMAGED where the file is away or another than the manifest says. */
export function readSchema(disk: Disk, entry: SchemaEntry): FoundSchema {
  const path = schemaPath(entry.id)
  const bytes = disk.read(path)
  if (bytes === undefined) throw missing(path)
  if (sha256(bytes) !== entry.sha256) throw damaged(path, 0, "its sha256 is not the manifest's")
  const { type, schema, references } = JSON.parse(bytes.toString('utf8')) as {
    type: string
    schema: string
    references: string[]
  }
  return { type, text: schema, references }
}

/**
 * The archive's own schemas; ids that it does not have are asked of `other`, where one is given.
 * Errors: ARCHIVE_DAMAGED, at once: a decoder takes an error of `find` for a registry that is away, and would wait for ever.
 */
export function archivedSchemas(
  disk: Disk,
  manifest: Manifest,
  other?: SchemaSource,
): SchemaSource {
  const own = new Map(
    manifest.schemas
      .filter(({ state }) => state === 'known')
      .map(entry => [entry.id, readSchema(disk, entry)]),
  )
  return {
    async find(id) {
      return own.get(id) ?? other?.find(id) ?? null
    },
  }
}
