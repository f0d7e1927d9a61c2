/** Archives that we damage: each fault is found and named. And what is erased is gone from the bytes. */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import avsc from 'avsc'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Decoder, definitions, SchemaRegistry } from '../../schemas/index.ts'
import {
  HOUR,
  newFolder,
  newLog,
  plain,
  readArchive,
  removeFolders,
  run,
  T0,
} from '../../test/support/archived-log.ts'
import { nodeDisk } from './disk.ts'
import { erase } from './erase.ts'
import type { ArchivedRecord } from './format.ts'
import { type FileEntry, type Manifest, manifestOf, writeManifest } from './manifest.ts'
import { ArchiveReader } from './reader.ts'
import { ofUsers, recordsOf } from './theirs.ts'
import { verify } from './verify.ts'

let log: Awaited<ReturnType<typeof newLog>>
let dir: string

beforeEach(async () => {
  log = await newLog(2)
  dir = newFolder()
  for (let i = 0; i < 40; i++) {
    const value = log.encoder.encode('Watch', {
      eventId: `e${i}`,
      userId: `u${i % 5}`,
      itemId: 'i',
      ts: T0,
      playId: 'p',
      watchedMs: 1,
      consent: 'full',
    })
    const key = Buffer.from(`u${i % 5}`)
    const timestamp = T0 + i * (HOUR / 10)
    await log.send('events', [{ key, value, partition: i % 2, timestamp }])
  }
  await run(dir, { transport: log.transport, source: log.registry })
})
afterEach(removeFolders)

const manifest = (): Manifest => manifestOf(nodeDisk(dir))
const fileOf = (partition: number, index: number): FileEntry =>
  manifest().files.filter(file => file.partition === partition)[index]
const at = (path: string): string => join(dir, path)
const kinds = async () => (await verify(dir)).faults.map(fault => fault.kind)
const messages = async () => (await verify(dir)).faults.map(fault => fault.message).join('\n')
/** The manifest as somebody with an editor would leave it. */
const edit = (change: (file: FileEntry, i: number) => FileEntry | undefined): Promise<void> => {
  const before = manifest()
  const files = before.files.flatMap((file, i) => change(file, i) ?? [])
  return writeManifest(nodeDisk(dir), { ...before, files })
}

describe('verify', () => {
  it('finds a byte that changed, wherever it stands, and reading stops there', async () => {
    const { path, bytes } = fileOf(0, 1)
    const whole = readFileSync(at(path))
    for (const where of [2, 500, bytes - 200, bytes - 20, bytes - 1]) {
      const broken = Buffer.from(whole)
      broken[where] ^= 0x40
      writeFileSync(at(path), broken)
      expect(await kinds(), `byte ${where}`).toEqual([expect.stringMatching(/damaged|foreign/)])
      expect(await messages()).toContain(path)
    }
    const broken = Buffer.from(whole)
    broken[bytes - 1] ^= 1
    writeFileSync(at(path), broken)
    await expect(readArchive(dir)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  })

  it('finds a file that is cut, longer or missing', async () => {
    const { path, bytes } = fileOf(0, 1)
    const whole = readFileSync(at(path))
    writeFileSync(at(path), whole.subarray(0, bytes - 5))
    expect(await kinds()).toEqual(['damaged'])
    await expect(readArchive(dir)).rejects.toThrow(/it ends there, the manifest says/)
    writeFileSync(at(path), Buffer.concat([whole, whole.subarray(0, 5)]))
    expect(await kinds()).toEqual(['damaged'])
    rmSync(at(path))
    expect(await kinds()).toEqual(['missing'])
    expect(await messages()).toMatch(/is missing: \d+ records of events-0, offsets \d+ to \d+/)
    await expect(readArchive(dir)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  })

  it('finds a file that the manifest lost, and one that it names twice', async () => {
    const lost = fileOf(1, 1)
    const known = manifest()
    await edit(file => (file.path === lost.path ? undefined : file))
    expect(await kinds()).toEqual(['gap', 'foreign'])
    expect(await messages()).toMatch(/events-1 has no file for the offsets 5 to 9/)
    expect(await messages()).toContain('it says of itself that it is events-1 of 2, from offset 5')
    await writeManifest(nodeDisk(dir), known)
    copyFileSync(at(lost.path), at('events/1/2026-09-01T11-0000000000000099.avro'))
    await writeManifest(nodeDisk(dir), {
      ...known,
      files: known.files.flatMap(file =>
        file.path === lost.path
          ? [file, { ...file, path: 'events/1/2026-09-01T11-0000000000000099.avro' }]
          : file,
      ),
    })
    expect(await kinds()).toContain('overlap')
  })

  it('finds files of another partition, partition count or archive', async () => {
    const [ours, theirs] = [fileOf(0, 0), fileOf(1, 0)]
    copyFileSync(at(theirs.path), at(ours.path))
    await edit(file =>
      file.path === ours.path ? { ...file, bytes: theirs.bytes, sha256: theirs.sha256 } : file,
    )
    expect(await kinds()).toContain('foreign')
    expect(await messages()).toContain('it is events-1@0, the manifest names it for events-0@0')
    await expect(readArchive(dir)).rejects.toThrow(/it is events-1@0/)

    const other = newFolder()
    const wider = await newLog(3)
    await wider.send('events', [{ key: null, value: null, partition: 0, timestamp: T0 }])
    await run(other, { transport: wider.transport, source: wider.registry })
    const [foreign] = manifestOf(nodeDisk(other)).files
    copyFileSync(join(other, foreign.path), at(ours.path))
    await edit(file => (file.path === ours.path ? { ...foreign } : file))
    expect(await messages()).toMatch(/it is of another archive/)
    const mine = manifest()
    await writeManifest(nodeDisk(dir), { ...mine, id: manifestOf(nodeDisk(other)).id })
    expect(await messages()).toMatch(/was written when events had 3 partitions, the manifest has 2/)
  })

  it('finds counts, times and gaps that are not so', async () => {
    const of = async (change: Partial<FileEntry>) => {
      const before = manifest()
      await edit((file, i) => (i === 0 ? { ...file, ...change } : file))
      const found = await messages()
      await writeManifest(nodeDisk(dir), before)
      return found
    }
    expect(await of({ records: 4 })).toMatch(/it holds 5 records, the manifest says 4/)
    expect(await of({ absent: 1 })).toMatch(/0 offsets of 0 to 4 are not in it; 1 were not on the/)
    expect(await of({ erased: [[0, 2]] })).toMatch(/2 were erased/)
    expect(await of({ timestamps: [T0, T0 + 1] })).toMatch(/its times/)
    expect(await of({ arrivals: [0, 1] })).toMatch(/its arrivals/)
    expect(await of({ next: 4 })).toMatch(/holds offset 4 and answers up to 3/)
    expect(await of({ next: 7 })).toMatch(/stand in another file too/)
  })

  it('finds a schema that is gone, and a manifest that is no manifest', async () => {
    const [schema] = manifest().schemas
    writeFileSync(at(`schemas/${schema.id}.json`), '{}')
    expect(await kinds()).toEqual(['schema'])
    rmSync(at(`schemas/${schema.id}.json`))
    expect(await kinds()).toEqual(['schema'])
    const text = readFileSync(at('manifest.json'), 'utf8')
    for (const broken of [text.slice(0, -30), '{}', text.replace('"bytes":', '"bites":')]) {
      writeFileSync(at('manifest.json'), broken)
      await expect(verify(dir)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
    }
  })
})

describe('erase', () => {
  const eraseUser = (user: string) =>
    erase({
      dir,
      pseudonym: `p-${user}`,
      keyId: 'k1',
      topics: ofUsers(manifest().topics),
      isTheirs: recordsOf(user, ArchiveReader.open(dir).schemas()),
      now: Date.now,
    })

  it('removes what is keyed by the user, what names them, and nothing else', async () => {
    const erasure = (userId: string) =>
      log.encoder.encode('Erasure', { eventId: 'x', userId, ts: T0, reason: 'u1 asked' })
    const item = log.encoder.encode('Item', { itemId: 'u1', title: 'u1' })
    const watch = (userId: string, itemId: string) =>
      log.encoder.encode('Watch', {
        eventId: 'w',
        userId,
        itemId,
        ts: T0,
        playId: 'p',
        watchedMs: 1,
        consent: 'full',
      })
    const timestamp = T0 + 10 * HOUR
    await log.send('erasures', [
      { key: null, value: erasure('u1'), timestamp },
      { key: null, value: erasure('u12'), timestamp },
    ])
    await log.send('items', [{ key: Buffer.from('u1'), value: item, timestamp }])
    await log.send('events', [
      // under a wrong key
      { key: Buffer.from('other'), value: watch('u1', 'i'), timestamp },
      // another's, who watched the item of that name
      { key: Buffer.from('u9'), value: watch('u9', 'u1'), timestamp },
      { key: Buffer.from('u12'), value: Buffer.from('{"userId": broken "u12"'), timestamp },
      { key: Buffer.from('?'), value: Buffer.from('{"userId": broken "u1"'), timestamp },
    ])
    await run(dir, { transport: log.transport, source: log.registry })
    const before = await readArchive(dir)
    const { erasure: done } = await eraseUser('u1')
    const after = await readArchive(dir)
    const isTheirs = ({ topic, key, value }: ArchivedRecord): boolean =>
      topic !== 'items' &&
      (String(key) === 'u1' ||
        String(key) === '?' ||
        String(key) === 'other' ||
        (topic === 'erasures' && value?.includes(Buffer.from('\x04u1\x00')) === true) ||
        value?.equals(erasure('u1')) === true)
    expect(after.map(plain)).toEqual(before.filter(record => !isTheirs(record)).map(plain))
    expect(before.length - after.length).toBe(11)
    expect(done).toMatchObject({ pseudonym: 'p-u1', records: 11, done: expect.any(String) })
    expect(after.map(record => record.arrival)).toEqual(
      before.filter(record => !isTheirs(record)).map(record => record.arrival),
    )
    const report = await verify(dir)
    expect(report.faults).toEqual([])
    expect(report.partitions.reduce((sum, one) => sum + one.erased, 0)).toBe(11)
    expect(readFileSync(at('manifest.json'), 'utf8')).not.toContain('"u1"')
    // once more: nothing is left to do; and another user's comes on top
    expect((await eraseUser('u1')).erasure).toMatchObject({ records: 0, files: 0 })
    expect((await eraseUser('u2')).erasure).toMatchObject({ records: 8 })
    expect((await verify(dir)).faults).toEqual([])
    expect((await run(dir, { transport: log.transport, source: log.registry })).records).toBe(0)
  })
})

describe('five schema versions', () => {
  it('are read with the archive alone, when the registry knows none of them', async () => {
    const registry = new SchemaRegistry({ url: 'mock://five-versions' })
    const base = JSON.parse(definitions.Watch) as { fields: { name: string }[] }
    const values: Buffer[] = []
    for (let version = 1; version <= 5; version++) {
      const added = Array.from({ length: version - 1 }, (_, i) => ({
        name: `added${i}`,
        type: 'string',
        default: '',
      }))
      const schema = {
        ...base,
        fields: [...added, ...base.fields.slice(0, 9 + version), ...base.fields.slice(9 + version)],
      }
      const id = await registry.register('five', JSON.stringify(schema))
      const record = {
        eventId: `e${version}`,
        userId: 'u',
        itemId: 'i',
        ts: T0 + version,
        playId: 'p',
        watchedMs: version,
        consent: 'full',
        ...Object.fromEntries(added.map(field => [field.name, 'x'])),
      }
      const body = avsc.Type.forSchema(schema as never).toBuffer(record)
      const head = Buffer.alloc(5)
      head.writeInt32BE(id, 1)
      values.push(Buffer.concat([head, body]))
    }
    const fresh = await newLog(1)
    await fresh.send(
      'events',
      values.map(value => ({ key: Buffer.from('u'), value, timestamp: T0 })),
    )
    const folder = newFolder()
    await run(folder, { transport: fresh.transport, source: registry })
    const forgetful = { find: async () => null }
    const decoder = new Decoder('events', ArchiveReader.open(folder).schemas(forgetful))
    const seen: unknown[] = []
    for (const { value } of await readArchive(folder)) {
      let found = decoder.decode(value)
      if ('needs' in found) {
        await decoder.resolve(found.needs)
        found = decoder.decode(value)
      }
      seen.push('record' in found ? [found.record.eventId, found.record.ts] : found)
    }
    expect(seen).toEqual([1, 2, 3, 4, 5].map(version => [`e${version}`, T0 + version]))
    expect(manifestOf(nodeDisk(folder)).schemas.filter(one => one.state === 'known')).toHaveLength(
      5,
    )
    rmSync(join(folder, 'schemas/3.json'))
    expect(() => ArchiveReader.open(folder).schemas(forgetful)).toThrow(
      /schemas\/3.json can't be read: it is missing; put it back from a copy/,
    )
  })
})
