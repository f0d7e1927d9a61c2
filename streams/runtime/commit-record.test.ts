import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FreshetError } from '../errors.ts'
import { ByteWriter } from '../serde/bytes.ts'
import { type CommitRecord, readCommitRecord, writeCommitRecord } from './commit-record.ts'

const where = 'c-4@7'

const full: CommitRecord = {
  number: 42,
  bornAt: 1_800_000_000_000,
  positions: new Map([
    ['events', 12_345],
    ['<deltas>', 7],
  ]),
  applied: new Map([['user-0', { number: 3, bornAt: 1_700_000_000_000, token: 200 }]]),
  sent: new Map([['item-1', 9]]),
  packets: [{ kind: 'item', partition: 1, value: Buffer.from([1, 2, 3]) }],
  records: [
    { topic: 'alerts', key: Buffer.from('k'), value: null, headers: { a: 'b', c: '' } },
    { topic: 'dead-letters', key: null, value: Buffer.from('v'), headers: {} },
  ],
  removedViews: ['session:u1', 'topk:home:u:u1'],
  shown: 11,
  unfinishedFrom: 0,
}

function written(record: CommitRecord): Buffer {
  const w = new ByteWriter(8)
  writeCommitRecord(record, w)
  return w.copy()
}

function errorOf(bytes: Buffer): unknown {
  try {
    readCommitRecord(bytes, where)
  } catch (error) {
    return error
  }
  return 'it was read'
}

function expectCorrupt(bytes: Buffer): void {
  const error = errorOf(bytes)
  expect(error).toBeInstanceOf(FreshetError)
  expect(error).toMatchObject({
    code: 'CHANGELOG_CORRUPT',
    message: expect.stringMatching(/^c-4@7: the commit record is damaged: .*freshet reset/),
  })
}

describe('a commit record', () => {
  it('is read as it was written', () => {
    expect(readCommitRecord(written(full), where)).toEqual(full)
    const empty = { ...full, packets: [], records: [], removedViews: [], unfinishedFrom: undefined }
    expect(readCommitRecord(written(empty), where)).toEqual(empty)
  })

  it('is refused with its address where it is cut anywhere', () => {
    const bytes = written(full)
    for (let length = 0; length < bytes.length; length++) expectCorrupt(bytes.subarray(0, length))
    expectCorrupt(Buffer.concat([bytes, Buffer.from([0])]))
  })

  it('is refused with its address where any bit is another', () => {
    const bytes = written(full)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3] ^= 1 << (bit & 7)
      expectCorrupt(flipped)
    }
  })

  it('is refused, never misread, whatever bytes stand there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => expectCorrupt(Buffer.from(bytes))),
    )
  })

  it('of a newer version names the remedy, of an older one too', () => {
    const ofVersion = (version: number): Buffer => {
      const w = new ByteWriter(8)
      // what another version would write: its own body, and the checksum all versions have
      writeCommitRecord(full, w)
      const body = w.copy().subarray(0, w.length - 4)
      body[0] = version
      return withChecksum(body)
    }
    expect(errorOf(ofVersion(3))).toMatchObject({
      code: 'CHANGELOG_NEWER',
      message: 'c-4@7: state of version 3, this program knows up to 2; run the newer program',
    })
    expect(errorOf(ofVersion(1))).toMatchObject({
      code: 'CHANGELOG_OLDER',
      message: expect.stringMatching(/^c-4@7: state of version 1, this program reads 2; run the/),
    })
  })

  it('does not make room for more entries than it has bytes', () => {
    const w = new ByteWriter(8)
    w.uint(2)
      .uint(1)
      .uint(1)
      .uint(2 ** 40)
    expect(errorOf(withChecksum(w.copy()))).toMatchObject({
      message: expect.stringMatching(/1099511627776 entries are said to be in 0 bytes/),
    })
  })
})

/** CRC-32 bit by bit, as the public definition has it. */
function withChecksum(body: Buffer): Buffer {
  let crc = 0xffffffff
  for (const byte of body) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  const sum = Buffer.alloc(4)
  sum.writeUInt32LE(~crc >>> 0)
  return Buffer.concat([body, sum])
}
