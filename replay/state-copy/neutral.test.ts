import { expect, it } from 'vitest'
import {
  type CommitRecord,
  readCommitRecord,
  writeCommitRecord,
} from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'
import { ByteWriter } from '../../streams/serde/bytes.ts'
import { neutral } from './neutral.ts'

const record: CommitRecord = {
  number: 7,
  bornAt: 5,
  positions: new Map([
    ['events', 12],
    [DELTAS, 3],
  ]),
  applied: new Map([['user-0', { number: 4, bornAt: 5, token: 9 }]]),
  sent: new Map([['item-1', 2]]),
  packets: [{ kind: 'item', partition: 1, value: Buffer.from('packet') }],
  records: [{ topic: 'alerts', key: null, value: null, headers: {} }],
  removedViews: ['session:u'],
  shown: 6,
  unfinishedFrom: 10,
}

it('keeps what is of the state and drops what is of its place', () => {
  const made = neutral(record)
  expect(made).toEqual({
    number: 7,
    bornAt: 5,
    positions: new Map([['events', 12]]),
    applied: new Map([['user-0', { number: 4, bornAt: 5, token: 0 }]]),
    sent: new Map([['item-1', 2]]),
    packets: [],
    records: [],
    removedViews: [],
    shown: 0,
    unfinishedFrom: 10,
  })
  const w = new ByteWriter(64)
  writeCommitRecord(made, w)
  expect(readCommitRecord(w.copy(), 'here')).toEqual(made)
})
