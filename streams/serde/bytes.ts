/**
 * Growing byte writer and its reader: the layout of every row and packed delta on freshet's own topics.
 * Integers are LEB128 varints (unsigned up to 2^53), signed ones zigzag; strings are UTF-8 with a varint length;
 * fixed numbers are little-endian.
 *
 * Hot code: one writer is reused for many rows; `bytes()` is a view that the next `reset()` invalidates.
 */
export class ByteWriter {
  buffer: Buffer
  length = 0

  constructor(initialCapacity = 1024) {
    this.buffer = Buffer.allocUnsafe(initialCapacity)
  }

  reset(): this {
    this.length = 0
    return this
  }

  /** A view of what was written; valid until the next write or reset. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.length)
  }

  /** A copy of what was written. */
  copy(): Buffer {
    return Buffer.from(this.bytes())
  }

  private grow(extra: number): void {
    const needed = this.length + extra
    if (needed <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }

  u8(value: number): this {
    this.grow(1)
    this.buffer[this.length++] = value
    return this
  }

  /** Unsigned integer, 0 to 2^53 - 1. */
  uint(value: number): this {
    this.grow(8)
    const buffer = this.buffer
    if (value < 128) {
      buffer[this.length++] = value
      return this
    }
    let v = value
    while (v >= 0x80000000) {
      buffer[this.length++] = (v % 128) | 128
      v = Math.floor(v / 128)
    }
    while (v >= 128) {
      buffer[this.length++] = (v & 127) | 128
      v >>>= 7
    }
    buffer[this.length++] = v
    return this
  }

  /** Signed integer, zigzag, magnitude below 2^52. */
  int(value: number): this {
    return this.uint(value >= 0 ? value * 2 : -value * 2 - 1)
  }

  f32(value: number): this {
    this.grow(4)
    this.length = this.buffer.writeFloatLE(value, this.length)
    return this
  }

  f64(value: number): this {
    this.grow(8)
    this.length = this.buffer.writeDoubleLE(value, this.length)
    return this
  }

  string(value: string): this {
    const n = value.length
    if (n < 43) {
      // at most 3 bytes a UTF-16 unit: the length fits one varint byte, written afterwards
      this.grow(1 + n * 3)
      const at = this.length + 1
      const written = this.putAscii(value, at) ? n : this.buffer.write(value, at)
      this.buffer[this.length] = written
      this.length = at + written
      return this
    }
    const size = Buffer.byteLength(value)
    this.uint(size)
    this.grow(size)
    this.buffer.write(value, this.length)
    this.length += size
    return this
  }

  /** UTF-8 without a length: the last part of a key. */
  rawString(value: string): this {
    const n = value.length
    this.grow(n * 3)
    this.length +=
      n < 43 && this.putAscii(value, this.length) ? n : this.buffer.write(value, this.length)
    return this
  }

  /** Writes a text of ASCII alone, and says whether it was: for ids, a loop costs a third of the native call. */
  private putAscii(value: string, at: number): boolean {
    const buffer = this.buffer
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i)
      if (unit > 127) return false
      buffer[at + i] = unit
    }
    return true
  }

  /** Bytes with a varint length. */
  blob(value: Uint8Array): this {
    this.uint(value.length)
    return this.raw(value)
  }

  raw(value: Uint8Array): this {
    this.grow(value.length)
    this.buffer.set(value, this.length)
    this.length += value.length
    return this
  }
}

/** Reads what ByteWriter wrote. Reading past the end throws a RangeError: a row that is cut is never guessed at. */
export class ByteReader {
  readonly buffer: Buffer
  position: number
  readonly end: number

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer
    this.position = start
    this.end = end
  }

  get left(): number {
    return this.end - this.position
  }

  private need(n: number): void {
    if (this.position + n > this.end)
      throw new RangeError(`a row is cut: ${n} bytes wanted at ${this.position} of ${this.end}`)
  }

  u8(): number {
    this.need(1)
    return this.buffer[this.position++]
  }

  uint(): number {
    this.need(1)
    const first = this.buffer[this.position++]
    if (first < 128) return first
    let value = first & 127
    let scale = 128
    for (;;) {
      this.need(1)
      const byte = this.buffer[this.position++]
      value += (byte & 127) * scale
      if (byte < 128) return value
      scale *= 128
    }
  }

  int(): number {
    const v = this.uint()
    return v % 2 === 0 ? v / 2 : -(v + 1) / 2
  }

  f32(): number {
    this.need(4)
    const v = this.buffer.readFloatLE(this.position)
    this.position += 4
    return v
  }

  f64(): number {
    this.need(8)
    const v = this.buffer.readDoubleLE(this.position)
    this.position += 8
    return v
  }

  string(): string {
    return this.rawString(this.uint())
  }

  /** `size` bytes of UTF-8; without a size, all that is left. */
  rawString(size = this.left): string {
    this.need(size)
    const at = this.position
    this.position += size
    return this.buffer.toString('utf8', at, at + size)
  }

  blob(): Buffer {
    return this.raw(this.uint())
  }

  raw(size: number): Buffer {
    this.need(size)
    const at = this.position
    this.position += size
    return this.buffer.subarray(at, at + size)
  }
}
