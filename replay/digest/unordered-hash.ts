/** A hash of a bag of texts: the same in whatever order they come, and how often each comes counts. */
import { createHash } from 'node:crypto'

const lanes = 8

export class UnorderedHash {
  /** Sums of the eight words of each text's SHA-256, modulo 2^32. */
  private readonly sums = new Uint32Array(lanes)
  private count = 0

  add(text: string | Buffer): void {
    const hash = createHash('sha256').update(text).digest()
    for (let lane = 0; lane < lanes; lane++) this.sums[lane] += hash.readUInt32LE(4 * lane)
    this.count++
  }

  /** 64 hex digits. */
  digest(): string {
    const words = Buffer.alloc(4 * lanes)
    this.sums.forEach((sum, lane) => {
      words.writeUInt32LE(sum, 4 * lane)
    })
    return createHash('sha256').update(`${this.count} `).update(words).digest('hex')
  }
}
