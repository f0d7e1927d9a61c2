/**
 * Where a key lives in a Redis Cluster: CRC16 (XMODEM) of the key, or of its first non-empty `{tag}`, modulo 16384
 * (Redis Cluster specification, "Hash tags"; the check value of "123456789" is 0x31C3).
 */
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

function crc16(bytes: Uint8Array): number {
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

const searched = new Map<string, string>()

/**
 * The key beside a sorted set that holds its version, in the same slot so that one script may touch both:
 * `{key}:version`. A key with braces of its own can't be wrapped like that: it gets the first `key:version:n` of its slot.
 */
export function versionKeyOf(key: string): string {
  if (!key.includes('}')) return `{${key}}:version`
  const known = searched.get(key)
  if (known !== undefined) return known
  const slot = slotOf(key)
  let n = 0
  while (slotOf(`${key}:version:${n}`) !== slot) n++
  if (searched.size > 10_000) searched.clear()
  searched.set(key, `${key}:version:${n}`)
  return `${key}:version:${n}`
}
