/**
 * Reads Avro's binary primitives from a record's bytes. Invariants:
 * 1. No read passes the end, whatever the bytes say, and no loop runs longer than there are bytes.
 * 2. Nothing throws: the first fault is kept in `code` and `message`, the cursor jumps to the end, and every later read
 *    gives an empty value. Whoever reads looks at `code` once, when done.
 *
 * Hot code: called a dozen times a record; measured by decode.bench.ts. Short texts that repeat (surfaces, items, context
 * keys, the request of a burst of impressions) come from a direct-mapped table of strings: comparing 10 bytes costs a third of making a string from them.
 */
import { isUtf8 } from 'node:buffer'
import type { DeadLetterCode } from '../streams/topology/outbox.ts'

const none = Buffer.alloc(0)
const cacheSlots = 4096
const longestCached = 40

export class Cursor {
  at = 0
  end = 0
  /** Depth of nested records being skipped: a recursive schema may nest as deep as there are bytes. */
  depth = 0
  code: DeadLetterCode | null = null
  message = ''
  private bytes: Buffer = none
  private readonly cache: string[] = new Array<string>(cacheSlots).fill('')

  reset(bytes: Buffer, at: number): void {
    this.bytes = bytes
    this.at = at
    this.end = bytes.length
    this.depth = 0
    this.code = null
  }

  fail(code: DeadLetterCode, message: string): void {
    if (this.code === null) {
      this.code = code
      this.message = message
    }
    this.at = this.end
  }

  private cut(): number {
    this.fail('DECODE_FAILED', 'the value ends within a field')
    return 0
  }

  /** A whole number within 2^53. */
  long(): number {
    if (this.at < this.end) {
      const first = this.bytes[this.at]
      if (first < 128) {
        this.at++
        return (first >>> 1) ^ -(first & 1)
      }
    }
    const value = this.varint()
    if (value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER) return value
    this.fail('FIELD_INVALID', 'a number is beyond 2^53')
    return 0
  }

  /** A long counted in smaller units: micros or nanos given as millis, towards the past. */
  scaled(divisor: number): number {
    // the half unit of slack takes back what a double loses of nanoseconds since 1970 (128 ns)
    return Math.floor(this.varint() / divisor + (divisor > 1000 ? 0.0005 : 0))
  }

  int(): number {
    const value = this.long()
    if ((value | 0) === value) return value
    this.fail('DECODE_FAILED', 'an int is beyond 32 bits')
    return 0
  }

  /** Zigzag varint, as exact as a double can be. */
  private varint(): number {
    const { bytes, end } = this
    let at = this.at
    let low = 0
    let high = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      if (at >= end) return this.cut()
      const byte = bytes[at++]
      if (i < 4) low |= (byte & 127) << (7 * i)
      else {
        high += (byte & 127) * scale
        scale *= 128
      }
      if (byte < 128) {
        this.at = at
        const magnitude = high * 134217728 + (low >>> 1)
        return low & 1 ? -magnitude - 1 : magnitude
      }
    }
    this.fail('DECODE_FAILED', 'a number takes more than 10 bytes')
    return 0
  }

  /** An index below `n`: of a union's branch or an enum's symbol. */
  index(n: number): number {
    const value = this.long()
    if (value >= 0 && value < n) return value
    this.fail('DECODE_FAILED', `index ${value} of an enum or union of ${n}`)
    return 0
  }

  float(): number {
    const at = this.at
    if (at + 4 > this.end) return this.cut()
    this.at = at + 4
    return this.bytes.readFloatLE(at)
  }

  double(): number {
    const at = this.at
    if (at + 8 > this.end) return this.cut()
    this.at = at + 8
    return this.bytes.readDoubleLE(at)
  }

  boolean(): boolean {
    if (this.at >= this.end) return this.cut() === 1
    const byte = this.bytes[this.at++]
    if (byte > 1) this.fail('DECODE_FAILED', `a boolean is ${byte}`)
    return byte === 1
  }

  private size(): number {
    const n = this.long()
    if (n >= 0 && n <= this.end - this.at) return n
    this.fail('DECODE_FAILED', `a text or bytes of ${n} bytes with ${this.end - this.at} left`)
    return 0
  }

  /** A text that seldom repeats. */
  text(): string {
    const n = this.size()
    return n === 0 ? '' : this.slice(n)
  }

  /** A text that often repeats. */
  label(): string {
    const n = this.size()
    if (n === 0) return ''
    if (n > longestCached) return this.slice(n)
    const { bytes, at, cache } = this
    let hash = n
    let ascii = 0
    for (let i = at; i < at + n; i++) {
      const byte = bytes[i]
      ascii |= byte
      hash = (Math.imul(hash, 31) + byte) | 0
    }
    if (ascii >= 128) return this.slice(n)
    const slot = (hash ^ (hash >>> 15)) & (cacheSlots - 1)
    const known = cache[slot]
    if (known.length === n) {
      let i = 0
      while (i < n && known.charCodeAt(i) === bytes[at + i]) i++
      if (i === n) {
        this.at = at + n
        return known
      }
    }
    const text = this.slice(n)
    cache[slot] = text
    return text
  }

  private slice(n: number): string {
    const start = this.at
    this.at = start + n
    const text = this.bytes.toString('utf8', start, this.at)
    // searching an ASCII string for it costs nothing; two ids with different broken bytes must not become one
    if (text.indexOf('\ufffd') >= 0 && !isUtf8(this.bytes.subarray(start, this.at)))
      this.fail('DECODE_FAILED', 'a text is not UTF-8')
    return text
  }

  /** A view of the record's bytes. */
  blob(): Buffer {
    const n = this.size()
    const start = this.at
    this.at = start + n
    return this.bytes.subarray(start, this.at)
  }

  /** Entries in the next block of an array or map; 0: no more. Each entry takes at least a byte. */
  block(): number {
    let n = this.long()
    if (n < 0) {
      n = -n
      this.size()
    }
    if (n <= this.end - this.at) return n
    this.fail('DECODE_FAILED', `a block of ${n} entries with ${this.end - this.at} bytes left`)
    return 0
  }

  /** Entries still to be skipped of the next block; -1: skipped already, another block follows; 0: no more. */
  skipBlock(entriesTakeNothing: boolean): number {
    const n = this.long()
    if (n < 0) {
      this.skip(this.size())
      return -1
    }
    if (entriesTakeNothing) return n === 0 ? 0 : -1
    if (n <= this.end - this.at) return n
    this.cut()
    return 0
  }

  skip(n: number): void {
    if (n <= this.end - this.at) this.at += n
    else this.cut()
  }

  skipSized(): void {
    this.skip(this.size())
  }

  skipVarint(): void {
    this.varint()
  }
}
