/** Hashes and seeded randomness. Chance in a topology is a hash of (seed, user or request, offset), so a replay repeats it. */

/**
 * Murmur2 as in Java's Kafka client (org.apache.kafka.common.utils.Utils.murmur2), seed 0x9747b28c: signed 32-bit.
 * Hot: one call a record.
 */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ length
  const words = length >> 2
  for (let i = 0; i < words; i++) {
    const at = i << 2
    let k = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    k = Math.imul(k, m)
    h = Math.imul(h, m) ^ k
  }
  const tail = words << 2
  switch (length & 3) {
    case 3:
      h ^= bytes[tail + 2] << 16
      h ^= bytes[tail + 1] << 8
      h ^= bytes[tail]
      h = Math.imul(h, m)
      break
    case 2:
      h ^= bytes[tail + 1] << 8
      h ^= bytes[tail]
      h = Math.imul(h, m)
      break
    case 1:
      h ^= bytes[tail]
      h = Math.imul(h, m)
      break
  }
  h ^= h >>> 13
  h = Math.imul(h, m)
  h ^= h >>> 15
  return h | 0
}

/** The partition that Java's default partitioner gives a key. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

const scratch = Buffer.allocUnsafe(1024)

/** As `partitionOf`, for a text key of up to 256 bytes. */
export function partitionOfText(key: string, partitions: number): number {
  if (key.length > 300) return partitionOf(Buffer.from(key), partitions)
  const n = scratch.write(key, 0)
  return partitionOf(scratch.subarray(0, n), partitions)
}

/**
 * A 53-bit hash of a text, as an exactly representable number: two 32-bit multiply-xor lanes with a final avalanche
 * (the mixing constants of murmur3's finaliser). Collisions: about n^2 / 2^54.
 */
export function hash53(text: string, seed = 0): number {
  let a = 0xdeadbeef ^ seed
  let b = 0x41c6ce57 ^ seed
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    a = Math.imul(a ^ c, 0x9e3779b1)
    b = Math.imul(b ^ c, 0x5f356495)
    a = (a << 13) | (a >>> 19)
    b = (b << 17) | (b >>> 15)
  }
  a ^= text.length
  a = avalanche(a ^ (b >>> 7))
  b = avalanche(b ^ (a << 3))
  return (b & 0x1fffff) * 4294967296 + (a >>> 0)
}

function avalanche(h: number): number {
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** A uniform generator on [0, 1) from a 53-bit seed (two 32-bit words): splitmix32 over a counter. */
export function randomFrom(seed: number): () => number {
  let state = (seed % 4294967296) | 0
  const salt = Math.floor(seed / 4294967296) | 0
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0
    return avalanche(state ^ salt) >>> 0
  }
  return () => (next() * 2097152 + (next() >>> 11)) / 9007199254740992
}
