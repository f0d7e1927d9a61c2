/** The process, or the machine, dies at any call to the disk: what is there then is an archive, and the same call completes it. */
import { createHash } from 'node:crypto'
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import {
  HOUR,
  logged,
  newFolder,
  newLog,
  plain,
  readArchive,
  removeFolders,
  run,
  slowly,
  T0,
} from '../../test/support/archived-log.ts'
import { type Disk, nodeDisk } from './disk.ts'
import { erase } from './erase.ts'
import { manifestOf, readManifest } from './manifest.ts'
import { verify } from './verify.ts'

afterEach(removeFolders)

/**
 * Dies at its `at`-th change. With `power` the machine dies with it: what was not synced is cut away, names that were given since
 * the last sync of their folder are taken back. `full`: it does not die, but has no room from there on.
 */
function dyingDisk(dir: string, at: number, how: 'kill' | 'power' | 'full') {
  const disk = nodeDisk(dir)
  let calls = 0
  let dead = false
  /** Of files that have unsynced bytes: the synced length. */
  const synced = new Map<string, number>()
  const sizes = new Map<string, number>()
  let renames: [from: string, to: string][] = []
  /** Files whose folder was not synced since they were made. */
  const made = new Set<string>()
  const step = (): void => {
    if (dead) throw new Error('the process is dead')
    if (++calls < at) return
    if (how === 'full')
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    dead = true
    if (how === 'power') lose()
    throw new Error('killed')
  }
  const lose = (): void => {
    for (const path of made) {
      const now = renames.find(([from]) => from === path)?.[1] ?? path
      if (!now.endsWith('.json') && disk.size(now) !== undefined) disk.remove(now)
    }
    for (const [path, length] of synced) {
      const now = renames.find(([from]) => from === path)?.[1] ?? path
      if (disk.size(now) !== undefined) truncateSync(join(dir, now), length)
    }
    // the one that it replaced is gone here; a file system has it still. Replaced files are written with care elsewhere
    for (const [from, to] of renames.reverse())
      if (!to.endsWith('.json') && disk.size(to) !== undefined) disk.rename(to, from)
  }
  const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1)
  const dying: Disk = {
    ...disk,
    create(path) {
      step()
      const file = disk.create(path)
      synced.set(path, 0)
      made.add(path)
      sizes.set(path, 0)
      return {
        write(bytes) {
          step()
          file.write(bytes)
          sizes.set(path, (sizes.get(path) ?? 0) + bytes.length)
        },
        async sync() {
          step()
          await file.sync()
          synced.set(path, sizes.get(path) ?? 0)
        },
        close: () => file.close(),
      }
    },
    async truncate(path, bytes) {
      step()
      await disk.truncate(path, bytes)
    },
    rename(from, to) {
      step()
      disk.rename(from, to)
      renames.push([from, to])
    },
    remove(path) {
      step()
      disk.remove(path)
    },
    async syncFolderOf(path) {
      step()
      await disk.syncFolderOf(path)
      for (const one of made) if (folderOf(one) === folderOf(path)) made.delete(one)
      renames = renames.filter(([, to]) => folderOf(to) !== folderOf(path))
    },
  }
  return { disk: dying, calls: () => calls }
}

/** Three hours of two partitions, in pieces small enough for many files and checkpoints. */
async function smallLog() {
  const log = await newLog(2)
  for (let i = 0; i < 60; i++)
    await log.send('events', [
      {
        key: Buffer.from(`u${i % 5}`),
        value: Buffer.from(`v${i}`),
        partition: (i % 5) % 2,
        timestamp: T0 + (i * HOUR) / 20,
      },
    ])
  return log
}

const settingsOf = (log: Awaited<ReturnType<typeof smallLog>>) => ({
  transport: slowly(log.transport),
  source: log.registry,
  // a checkpoint after each poll
  clock: { ...systemClock, now: () => 0 },
  checkpointMs: 0,
  fileBytes: 500,
})

async function expectWhole(dir: string, log: Awaited<ReturnType<typeof smallLog>>) {
  for (const partition of [0, 1])
    expect(
      (await readArchive(dir, { topics: ['events'], partitions: [partition] })).map(plain),
    ).toEqual(await logged(log.transport, { topic: 'freshet.events', partition }))
  expect((await readArchive(dir)).map(record => record.arrival)).toEqual(
    Array.from({ length: 60 }, (_, i) => i),
  )
  const report = await verify(dir)
  expect(report.faults).toEqual([])
  expect(report.notes).toEqual([])
}

describe('archiving', () => {
  it.each(['kill', 'power'] as const)(
    'survives a %s at any call, again and again',
    async how => {
      const log = await smallLog()
      const settings = settingsOf(log)
      const counted = dyingDisk(newFolder(), Number.POSITIVE_INFINITY, how)
      await run(counted.disk.dir, { ...settings, disk: counted.disk })
      expect(counted.calls()).toBeGreaterThan(150)
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: counted.calls() }), { minLength: 1, maxLength: 4 }),
          async deaths => {
            const dir = newFolder()
            for (const at of deaths) {
              const { disk } = dyingDisk(dir, at, how)
              await run(dir, { ...settings, disk }).catch(() => undefined)
              // what is there is whole as far as it goes
              if (readManifest(nodeDisk(dir)) === undefined) continue
              const faults = (await verify(dir)).faults.filter(fault => fault.kind !== 'leftover')
              expect(faults).toEqual([])
            }
            await run(dir, settings)
            await expectWhole(dir, log)
            removeFolders()
          },
        ),
        { numRuns: 12 },
      )
    },
    60_000,
  )

  it('stops with a sentence where the disk is full, and goes on once there is room', async () => {
    const log = await smallLog()
    const settings = settingsOf(log)
    for (let at = 2; at < 150; at += 37) {
      const dir = newFolder()
      const { disk } = dyingDisk(dir, at, 'full')
      await expect(run(dir, { ...settings, disk })).rejects.toThrow(/ENOSPC/)
      await run(dir, settings)
      await expectWhole(dir, log)
    }
  })
})

describe('an erasure', () => {
  it('that is cut short anywhere goes on, and leaves nothing of the user', async () => {
    const log = await smallLog()
    const dir = newFolder()
    const of = (dying?: Disk) => ({
      dir,
      disk: dying,
      pseudonym: createHash('sha256').update('u3').digest('hex'),
      keyId: 'k',
      topics: ['events'],
      isTheirs: (record: { key: Buffer | null }) => String(record.key) === 'u3',
      now: Date.now,
    })
    await run(dir, settingsOf(log))
    for (let at = 1; ; at += 5) {
      const dying = dyingDisk(dir, at, 'power')
      const done = await erase(of(dying.disk)).then(
        () => true,
        () => false,
      )
      if (done) break
      const kinds = new Set((await verify(dir)).faults.map(fault => fault.kind))
      for (const kind of kinds) expect(['erasure', 'leftover']).toContain(kind)
    }
    const left = await readArchive(dir)
    expect(left).toHaveLength(48)
    expect(left.some(record => String(record.key) === 'u3')).toBe(false)
    const report = await verify(dir)
    expect(report.faults).toEqual([])
    expect(report.partitions.reduce((sum, one) => sum + one.erased, 0)).toBe(12)
    const { files, erasures } = manifestOf(nodeDisk(dir))
    expect(erasures).toMatchObject([{ records: 12, done: expect.any(String), through: {} }])
    const named = files.map(file => file.path.split('/')[2]).sort()
    const there = [0, 1].flatMap(n => readdirSync(join(dir, 'events', String(n)))).sort()
    expect(there).toEqual(named)
    // the archive goes on behind it
    await log.send('events', [{ key: Buffer.from('u3'), value: null, timestamp: T0 + 4 * HOUR }])
    expect((await run(dir, settingsOf(log))).records).toBe(1)
    expect((await verify(dir)).faults).toEqual([])
  })
})
