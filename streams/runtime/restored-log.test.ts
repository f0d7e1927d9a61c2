/** What a changelog may hold at restore, and what is refused with its address (C1). */
import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../serde/bytes.ts'
import type { Stage } from '../topology/stage.ts'
import { type Row, Store } from '../topology/store.ts'
import type { FetchedBatch, LogRecord } from '../transport/port.ts'
import { COMMIT_KEY, writeCommitRecord } from './commit-record.ts'
import { OWNER_KEY } from './ownership-record.ts'
import { RestoredLog } from './restored-log.ts'
import { TableBlocks } from './table-blocks.ts'
import { TaskStores } from './task-stores.ts'

type Part = readonly [key: Buffer | null, value: Buffer | null]

const row = (name: string, value = Buffer.from([5])): Part => [Buffer.from(`\x01${name}`), value]
const owner: Part = [OWNER_KEY, Buffer.from('{"uuid":"u"}')]
const block = (number: number, value: Buffer | null): Part => [Buffer.from([0, 3, number]), value]

function commit(number: number, bornAt = 1000): Part {
  const w = new ByteWriter(64)
  writeCommitRecord(
    {
      number,
      bornAt,
      positions: new Map(),
      applied: new Map(),
      sent: new Map(),
      packets: [],
      records: [],
      removedViews: [],
      shown: 0,
      unfinishedFrom: undefined,
    },
    w,
  )
  return [COMMIT_KEY, w.copy()]
}

/** A batch at `baseOffset`; a record left out (`null`) was compacted away. */
function batch(baseOffset: number, parts: readonly (Part | null)[], producerId = 1n): FetchedBatch {
  const records: LogRecord[] = []
  parts.forEach((part, i) => {
    if (part)
      records.push({
        offset: baseOffset + i,
        timestamp: 0,
        key: part[0],
        value: part[1],
        headers: [],
      })
  })
  const nextOffset = baseOffset + parts.length
  return { topic: 'c', partition: 4, baseOffset, nextOffset, producerId, producerEpoch: 0, records }
}

function restore(...batches: FetchedBatch[]) {
  const rows = new Map<string, number>()
  const store = new Store<Row>({
    id: 1,
    name: 'words',
    write: 'exact',
    writeKey: () => undefined,
    writeValue: () => undefined,
    restore: (key, value) => {
      rows.set(key.rawString(), value?.uint() ?? -1)
    },
  })
  const stages: Stage[] = [{ name: 'words', stores: [store] }]
  const log = new RestoredLog(new TaskStores('words', stages), new TableBlocks())
  for (const each of batches) log.take(each)
  return { number: log.end().last?.number, rows }
}

describe('C1: a changelog', () => {
  it('may have offsets between commits, where compaction took what was superseded', () => {
    const { number, rows } = restore(
      batch(0, [null]),
      batch(1, [row('a'), null]),
      batch(3, [null, null]),
      batch(7, [owner]),
      batch(8, [row('b'), commit(5)]),
      batch(10, [owner]),
      batch(11, [row('c'), commit(6)]),
      batch(13, [owner]),
    )
    expect(number).toBe(6)
    expect([...rows.keys()]).toEqual(['a', 'b', 'c'])
  })

  it('goes on with any number behind an emptied batch: it may have been a commit', () => {
    const found = restore(batch(0, [commit(1)]), batch(1, [null, null]), batch(3, [commit(3)]))
    expect(found.number).toBe(3)
  })

  it.each<[what: string, batches: FetchedBatch[], code: string, message: RegExp]>([
    [
      'a number that skips where batches adjoin',
      [batch(0, [row('a'), commit(1)]), batch(2, [row('a'), commit(3)])],
      'CHANGELOG_CORRUPT',
      /^c-4@3: commit 3 stands right behind commit 1; 1 are missing/,
    ],
    [
      'a number that skips with only ownerships between',
      [batch(0, [commit(1)]), batch(1, [owner]), batch(2, [owner]), batch(3, [commit(4)])],
      'CHANGELOG_CORRUPT',
      /^c-4@3: commit 4 stands right behind commit 1; 2 are missing/,
    ],
    [
      'a first commit that is not number 1',
      [batch(0, [owner]), batch(1, [row('a'), commit(2)])],
      'CHANGELOG_CORRUPT',
      /^c-4@2: commit 2 stands right behind commit 0; 1 are missing/,
    ],
    [
      'a number that goes back',
      [batch(0, [commit(1)]), batch(1, [commit(2)]), batch(9, [commit(2)])],
      'CHANGELOG_CORRUPT',
      /^c-4@9: commit 2 follows commit 2/,
    ],
    [
      'commits of other state',
      [batch(0, [commit(1)]), batch(7, [commit(2, 2000)])],
      'CHANGELOG_CORRUPT',
      /^c-4@7: commit 2 is of other state than commit 1/,
    ],
    [
      'rows behind the last commit',
      [batch(0, [commit(1)]), batch(1, [row('a'), row('b')])],
      'CHANGELOG_CORRUPT',
      /^c-4@1: rows stand behind the last commit \(1\)/,
    ],
    [
      'table blocks behind the last commit',
      [batch(0, [commit(1)]), batch(1, [block(1, null)])],
      'CHANGELOG_CORRUPT',
      /^c-4@1: rows stand behind the last commit/,
    ],
    [
      'a commit record that is not the last of its batch',
      [batch(0, [commit(1), row('a')])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: a commit record before the end of its batch \(2\)/,
    ],
    [
      'a removed commit record',
      [batch(0, [[COMMIT_KEY, null]])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: the commit record is removed/,
    ],
    [
      'a record without a key',
      [batch(3, [[null, Buffer.from('x')]])],
      'CHANGELOG_CORRUPT',
      /^c-4@3: a record without a key/,
    ],
    [
      'a batch that no task wrote',
      [batch(0, [row('a'), commit(1)], -1n)],
      'CHANGELOG_CORRUPT',
      /^c-4@0: this batch was not written by a task/,
    ],
    [
      "a record of freshet's own that is not known",
      [batch(0, [[Buffer.from([0, 9]), null]])],
      'CHANGELOG_NEWER',
      /^c-4@0: a record of freshet's own with key 0009/,
    ],
    [
      'a row of a store that this task does not have',
      [batch(0, [[Buffer.from([7, 1]), Buffer.from([1])], commit(1)])],
      'CHANGELOG_NEWER',
      /^c-4@0: a row of store 7, .*run that version, with the same `topologies`/,
    ],
    [
      'a row that is cut',
      [batch(0, [row('a', Buffer.from([0x80])), commit(1)])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: row of words can't be read \(a row is cut/,
    ],
    [
      'a row with more than its store reads',
      [batch(0, [row('a', Buffer.from([5, 6])), commit(1)])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: row of words can't be read \(1 bytes are left over\)/,
    ],
    [
      'a table block that is no snappy',
      [batch(0, [block(1, Buffer.from('not snappy')), commit(1)])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: a block of table rows can't be read/,
    ],
    [
      'a table block whose key is cut',
      [batch(0, [[Buffer.from([0, 3]), null], commit(1)])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: a block of table rows can't be read/,
    ],
    [
      'a commit record that is cut',
      [batch(0, [[COMMIT_KEY, (commit(1)[1] as Buffer).subarray(0, 9)]])],
      'CHANGELOG_CORRUPT',
      /^c-4@0: the commit record is damaged/,
    ],
  ])('refuses %s', (_, batches, code, message) => {
    let error: unknown
    try {
      restore(...batches)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(error).toMatchObject({
      message: expect.stringMatching(/freshet reset|run that version/),
    })
  })
})
