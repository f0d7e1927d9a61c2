/** Seeded dice (sfc32). Each purpose has its own, so that one more draw here moves nothing elsewhere. */
import { hash53 } from '../../streams/serde/hash.ts'

export class Rng {
  private a: number
  private b: number
  private c: number
  private d: number

  constructor(seed: number, purpose: string) {
    const h = hash53(purpose, seed)
    this.a = seed | 0
    this.b = h | 0
    this.c = (h / 4294967296) | 0
    this.d = 1
    for (let i = 0; i < 12; i++) this.next()
  }

  /** 32 random bits. */
  private next(): number {
    const t = (this.a + this.b + this.d++) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + t
    return t >>> 0
  }

  /** From 0, below 1. */
  unit(): number {
    return this.next() / 4294967296
  }

  chance(p: number): boolean {
    return p > 0 && this.next() < p * 4294967296
  }

  /** Whole, from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1))
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.unit() * from.length)]
  }
}
