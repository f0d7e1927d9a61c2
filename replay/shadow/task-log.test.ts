import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { COMMIT_KEY } from '../../streams/runtime/commit-record.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import { type LogMark, readLog, TaskLog } from './task-log.ts'

const root = mkdtempSync(join(tmpdir(), 'freshet-task-log-'))
afterAll(() => rmSync(root, { recursive: true }))
let folders = 0
const newDir = (): string => join(root, String(folders++))

type Rows = Record<string, string | null>

function batchOf(number: number, rows: Rows) {
  const builder = new RecordBatchBuilder()
  for (const [key, value] of Object.entries(rows))
    builder.add(Buffer.from(`\x05${key}`), value === null ? null : Buffer.from(value))
  builder.add(COMMIT_KEY, Buffer.from(String(number)))
  return builder.finish(1_000 + number)
}

/** What stands in the end; offsets must follow each other and the commit record must be the last. */
function standing(dir: string, mark: LogMark) {
  const rows: Record<string, string> = {}
  let commit: string | undefined
  let next = -1
  for (const { baseOffset, nextOffset, records } of readLog(dir, 'user-3', mark)) {
    if (next >= 0) expect(baseOffset).toBe(next)
    next = nextOffset
    commit = undefined
    for (const { key, value } of records) {
      if (key?.equals(COMMIT_KEY)) commit = String(value)
      else if (value === null) delete rows[String(key).slice(1)]
      else rows[String(key).slice(1)] = String(value)
    }
  }
  expect(Math.max(0, next)).toBe(mark.next)
  return { rows, commit }
}

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const commit = fc.dictionary(key, fc.option(fc.string({ maxLength: 300 })), { maxKeys: 5 })

describe('the log of a task in a file', () => {
  it('T1, T2: holds what was synced, however often it was opened, torn and written anew', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ commits: fc.array(commit, { maxLength: 6 }), synced: fc.boolean() }), {
          maxLength: 12,
        }),
        async sessions => {
          const dir = newDir()
          let mark: LogMark | undefined
          let expected: Record<string, string> = {}
          let number = 0
          let lastNumber: string | undefined
          for (const { commits, synced } of sessions) {
            const log = TaskLog.open(dir, 'user-3', mark, 500)
            const rows = { ...expected }
            let made = lastNumber
            for (const one of commits) {
              log.append(batchOf(++number, one))
              made = String(number)
              for (const [name, value] of Object.entries(one))
                if (value === null) delete rows[name]
                else rows[name] = value
            }
            if (synced) {
              mark = await log.sync()
              // a checkpoint stands: the file that was written anew is the only one from the next on
              mark = await log.sync()
              expected = rows
              lastNumber = made
            }
            log.close()
            if (mark) appendFileSync(join(dir, mark.file), 'what a kill left behind')
            if (mark === undefined) continue
            const found = standing(dir, mark)
            expect(found.rows).toEqual(expected)
            if (mark.bytes > 0) expect(found.commit).toBe(lastNumber)
          }
          if (mark) {
            TaskLog.open(dir, 'user-3', mark, 500).close()
            expect(readdirSync(dir)).toEqual([mark.file])
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('stays within a few times what its rows hold', async () => {
    const dir = newDir()
    const log = TaskLog.open(dir, 'user-3', undefined, 10_000)
    let mark: LogMark | undefined
    for (let n = 1; n <= 400; n++) {
      log.append(batchOf(n, { [`k${n % 10}`]: 'x'.repeat(200) }))
      mark = await log.sync()
      expect(mark.bytes).toBeLessThan(12_000)
    }
    expect(Object.keys(standing(dir, mark as LogMark).rows).length).toBe(10)
  })

  it('keeps the file that the last checkpoint names until the next one stands', async () => {
    const dir = newDir()
    const log = TaskLog.open(dir, 'user-3', undefined, 1)
    log.append(batchOf(1, { a: '1' }))
    const first = await log.sync()
    log.append(batchOf(2, { a: '2' }))
    log.append(batchOf(3, { b: '3' }))
    log.append(batchOf(4, { b: '4' }))
    const second = await log.sync()
    expect(second.file).not.toBe(first.file)
    expect(standing(dir, first)).toEqual({ rows: { a: '1' }, commit: '1' })
    expect(standing(dir, second)).toEqual({ rows: { a: '2', b: '4' }, commit: '4' })
  })

  it('begins above 0 when it is written anew: a commit at 0 would be the first of all', async () => {
    const dir = newDir()
    const log = TaskLog.open(dir, 'global-0', undefined, 1)
    log.append(batchOf(1, {}))
    await log.sync()
    for (let n = 2; n <= 9; n++) log.append(batchOf(n, {}))
    const [first] = readLog(dir, 'global-0', await log.sync())
    expect(first.baseOffset).toBeGreaterThan(0)
    expect(first.records.map(({ value }) => String(value))).toEqual(['9'])
  })

  it('stops with a sentence where the disk is full, and goes on from what was synced', async () => {
    const dir = newDir()
    const log = TaskLog.open(dir, 'user-3', undefined)
    log.append(batchOf(1, { a: '1' }))
    const mark = await log.sync()
    log.close()
    // a device on which nothing can be written takes the file's place
    renameSync(join(dir, mark.file), join(dir, 'kept'))
    symlinkSync('/dev/full', join(dir, mark.file))
    const full = TaskLog.open(dir, 'user-3', undefined)
    expect(() => full.append(batchOf(2, { a: '2' }))).toThrow(/the disk of .* is full: make room/)
    full.close()
    renameSync(join(dir, 'kept'), join(dir, mark.file))
    const again = TaskLog.open(dir, 'user-3', mark)
    again.append(batchOf(2, { a: '2' }))
    expect(standing(dir, await again.sync()).rows).toEqual({ a: '2' })
  })

  it('refuses a file that is shorter than its checkpoint says, and bytes that are not as they were', async () => {
    const dir = newDir()
    const log = TaskLog.open(dir, 'user-3', undefined)
    log.append(batchOf(1, { a: 'some value' }))
    const mark = await log.sync()
    truncateSync(join(dir, mark.file), mark.bytes - 3)
    expect(() => TaskLog.open(dir, 'user-3', mark)).toThrow(/was cut or removed/)
    appendFileSync(join(dir, mark.file), 'xyz')
    expect(() => standing(dir, mark)).toThrow(/CRC|checksum/i)
  })

  it('T3: stays whole where one that was given up writes late', async () => {
    const dir = newDir()
    const before = TaskLog.open(dir, 'user-3', undefined)
    before.append(batchOf(1, { a: '1' }))
    const mark = await before.sync()
    before.append(batchOf(2, { b: '2' }))
    const after = TaskLog.open(dir, 'user-3', mark)
    before.append(batchOf(3, { c: '3' }))
    after.append(batchOf(2, { b: '2' }))
    const next = await after.sync()
    expect(standing(dir, next)).toEqual({ rows: { a: '1', b: '2' }, commit: '2' })
    before.close()
    expect(() => before.append(batchOf(4, {}))).toThrow(/can't be written: it is closed/)
    after.close()
  })
})
