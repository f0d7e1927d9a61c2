/** C4: packets are taken once, in order, and a source that went back is told from one that repeats itself. */
import { describe, expect, it } from 'vitest'
import { AppliedPackets } from './applied-packets.ts'
import { decodePacket, deliverFrames, encodePacket, type PacketHead } from './packet.ts'

const where = 'd-2@9'
const BORN = Date.parse('2026-03-01T00:00:00Z')
const head = (number: number, more: Partial<PacketHead> = {}): PacketHead => ({
  generation: 1,
  source: 'user-3',
  bornAt: BORN,
  token: 100,
  number,
  ...more,
})
const frame = (payload: string) => ({ channel: 1, payload: Buffer.from(payload) })

/** Takes packets one after the other; gives which were new. */
function take(...heads: PacketHead[]): boolean[] {
  const applied = new AppliedPackets()
  return heads.map(each => applied.take(decodePacket(encodePacket(each, []), where), where))
}

describe('C4: packets of a source', () => {
  it('are taken once each, whatever is repeated by takeovers and forgotten zombies', () => {
    const later = { token: 200 }
    expect(take(head(1), head(1), head(2), head(2), head(3, later), head(3, later))).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
    ])
    expect(take(head(1), head(2), head(3, later), head(2), head(1))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ])
  })

  it.each<[what: string, heads: PacketHead[], message: RegExp]>([
    ['a gap', [head(1), head(4)], /packet 4 from user-3 follows 1; 2 are missing/],
    [
      'a first packet above 1: the state here was removed',
      [head(5)],
      /packet 5 .* follows 0; 4 are/,
    ],
    [
      "a source whose state was removed, at its first packet's number",
      [head(1), head(2), head(1, { bornAt: BORN + 86_400_000, token: 0 })],
      /packet 1 .* began at 2026-03-02T00:00:00.000Z, packet 2 .* 2026-03-01T00:00:00.000Z/,
    ],
    [
      'a source that lost its newest commits and sends them anew',
      [head(1), head(2), head(3), head(2, { token: 150 })],
      /packet 2 from user-3 was made under ownership 150, packet 3 under ownership 100/,
    ],
    [
      'the last number made again with other content',
      [head(1), head(2), head(2, { token: 90 })],
      /packet 2 from user-3 was made under ownership 90, packet 2 under ownership 100/,
    ],
    [
      'a source that lost even its last ownership, once it sends what is new',
      [head(1), head(2, { token: 80 })],
      /packet 2 from user-3 was made under ownership 80, packet 1 under ownership 100/,
    ],
  ])('refuses %s', (_, heads, message) => {
    expect(() => take(...heads)).toThrow(message)
    expect(() => take(...heads)).toThrow(/^d-2@9: .*freshet reset/)
  })
})

describe('a packed delta', () => {
  const bytes = encodePacket(head(7), [frame('abc'), frame('de')])
  const read = (value: Buffer | null, known = 1): string[] => {
    const found: string[] = []
    deliverFrames(decodePacket(value, where), where, channel =>
      channel === known ? payload => found.push(payload.rawString()) : undefined,
    )
    return found
  }

  it('is read as it was written', () => {
    expect(read(bytes)).toEqual(['abc', 'de'])
    expect(decodePacket(bytes, where)).toMatchObject(head(7))
  })

  it('is refused with its address where it is cut anywhere, or longer', () => {
    const damaged = /^d-2@9: the packed delta can't be read/
    for (let length = 0; length < bytes.length; length++)
      expect(() => read(bytes.subarray(0, length))).toThrow(damaged)
    expect(() => read(Buffer.concat([bytes, Buffer.from([1])]))).toThrow(damaged)
    expect(() => read(null)).toThrow(/^d-2@9: the packed delta can't be read: it is empty/)
  })

  it('is refused where its receiver leaves bytes over, or does not know its channel', () => {
    expect(() =>
      deliverFrames(decodePacket(bytes, where), where, () => payload => payload.u8()),
    ).toThrow(/2 bytes of channel 1 are left over/)
    expect(() => read(bytes, 2)).toThrow(
      /^d-2@9: packet 7 from user-3 has a part for channel 1, which nothing here receives/,
    )
  })

  it('of another format names the remedy', () => {
    const newer = Buffer.from(bytes)
    newer[0] = 3
    expect(() => read(newer)).toThrow(/format 3, this version reads 2; run the version/)
  })
})
