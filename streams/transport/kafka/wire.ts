/**
 * Kafka's wire types, big-endian, in the non-flexible encoding: what the requests in `protocol.ts` are made of.
 * A request is built once into its own buffer; kafkajs' connection adds the header and carries it.
 */
export class WireWriter {
  private buffer: Buffer
  private length = 0

  constructor(capacity = 512) {
    this.buffer = Buffer.allocUnsafe(capacity)
  }

  private reserve(extra: number): void {
    const needed = this.length + extra
    if (needed <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }

  int8(value: number): this {
    this.reserve(1)
    this.length = this.buffer.writeInt8(value, this.length)
    return this
  }

  int16(value: number): this {
    this.reserve(2)
    this.length = this.buffer.writeInt16BE(value, this.length)
    return this
  }

  int32(value: number): this {
    this.reserve(4)
    this.length = this.buffer.writeInt32BE(value, this.length)
    return this
  }

  /** Exact to 2^53 in magnitude. */
  int64(value: number): this {
    const high = Math.floor(value / 4294967296)
    this.reserve(8)
    this.length = this.buffer.writeInt32BE(high, this.length)
    this.length = this.buffer.writeUInt32BE(value - high * 4294967296, this.length)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const size = Buffer.byteLength(value)
    this.int16(size)
    this.reserve(size)
    this.length += this.buffer.write(value, this.length)
    return this
  }

  bytes(value: Buffer): this {
    this.int32(value.length)
    this.reserve(value.length)
    this.length += value.copy(this.buffer, this.length)
    return this
  }

  array<T>(items: readonly T[], each: (item: T) => void): this {
    this.int32(items.length)
    for (const item of items) each(item)
    return this
  }

  done(): Buffer {
    return this.buffer.subarray(0, this.length)
  }
}

export class WireReader {
  private readonly buffer: Buffer
  private at = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  get left(): number {
    return this.buffer.length - this.at
  }

  int8(): number {
    const value = this.buffer.readInt8(this.at)
    this.at += 1
    return value
  }

  int16(): number {
    const value = this.buffer.readInt16BE(this.at)
    this.at += 2
    return value
  }

  int32(): number {
    const value = this.buffer.readInt32BE(this.at)
    this.at += 4
    return value
  }

  /** Exact to 2^53 in magnitude. */
  int64(): number {
    const value =
      this.buffer.readInt32BE(this.at) * 4294967296 + this.buffer.readUInt32BE(this.at + 4)
    this.at += 8
    return value
  }

  bigint64(): bigint {
    const value = this.buffer.readBigInt64BE(this.at)
    this.at += 8
    return value
  }

  string(): string | null {
    const size = this.int16()
    if (size < 0) return null
    const from = this.at
    this.at += size
    return this.buffer.toString('utf8', from, this.at)
  }

  text(): string {
    return this.string() ?? ''
  }

  /** A view, not a copy; null where the length is negative. */
  bytes(): Buffer | null {
    const size = this.int32()
    if (size < 0) return null
    const from = this.at
    this.at += size
    return this.buffer.subarray(from, this.at)
  }

  array<T>(each: () => T): T[] {
    const count = this.int32()
    const items: T[] = []
    for (let i = 0; i < count; i++) items.push(each())
    return items
  }
}
