/**
 * Where a key lives in a Redis Cluster: CRC16 (XMODEM) of the key, or of its first non-empty `{tag}`, modulo 16384
 * (Redis Cluster specification, "Hash tags"; the check value of "123456789" is 0x31C3).
 */
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

function crc16(bytes: ArrayLike<number>): number {
  let crc = 0
  for (let i = 0; i < bytes.length; i++)
    crc = ((crc << 8) ^ table[((crc >> 8) ^ bytes[i]) & 0xff]) & 0xffff
  return crc
}

/** The slot of a key, 0 to 16383. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  return crc16(Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)) & 16383
}

/** Four letters of sixteen reach every slot: what letters, by the difference that they make to the slot of `....@@@@`. */
let lettersOf: Uint16Array | undefined

function findLetters(): Uint16Array {
  const found = new Uint16Array(16384)
  for (let n = 65_535; n >= 0; n--)
    found[crc16([n >> 12, (n >> 8) & 15, (n >> 4) & 15, n & 15]) & 16383] = n
  return found
}

/** The text `start` and four letters, in a slot. CRC16 from 0 is linear: no search, whatever an id holds. */
function textIn(slot: number, start: string): string {
  lettersOf ??= findLetters()
  const n = lettersOf[slot ^ slotOf(`${start}@@@@`)]
  return (
    start +
    String.fromCharCode(64 + (n >> 12), 64 + ((n >> 8) & 15), 64 + ((n >> 4) & 15), 64 + (n & 15))
  )
}

/**
 * The key beside a key that holds its version, in the same slot so that one script may touch both: `{key}:version`. A key with
 * braces of its own can't be wrapped like that: `{freshet:ABCD}:version:key`, with letters that lead to its slot. No view's
 * key begins with a brace, so no id can be chosen that runs into one of these.
 */
export function versionKeyOf(key: string): string {
  if (!key.includes('}')) return `{${key}}:version`
  const prefix = /^[^{}:]*:/.exec(key)?.[0] ?? ''
  return `{${textIn(slotOf(key), prefix)}}:version:${key}`
}

/** So many marks reach every node of a cluster: `markKey` of 0, 1, 2, ... lie in slots here and there. */
export const markKey = (prefix: string, n: number, task: string): string =>
  `{${prefix}shown:${n}}:${task}`
