/**
 * Gives names small integers in order of first sight.
 *
 * Hot: `indexOfBytes` finds a known name by its UTF-8 bytes without making a string of it (FNV-1a, open addressing, the
 * bytes side by side): rows and packets name items a million times a minute, and a string with its hash costs several
 * times as much. Measured by popularity/counting.bench.ts.
 */
export class Names {
  private readonly indices = new Map<string, number>()
  private readonly names: string[] = []
  /** Entries known by their bytes: a cache in front of `indices`, filled as they are met. */
  private slots = new Int32Array(2048)
  private entries = 0
  private hashes = new Int32Array(1024)
  private starts = new Float64Array(1025)
  private indexOfEntry = new Int32Array(1024)
  private bytes = Buffer.allocUnsafe(16 * 1024)

  get size(): number {
    return this.names.length
  }

  index(name: string): number {
    const known = this.indices.get(name)
    if (known !== undefined) return known
    const index = this.names.length
    this.indices.set(name, index)
    this.names.push(name)
    return index
  }

  /** The index of the name whose UTF-8 stands at start..end of `buffer`. */
  indexOfBytes(buffer: Buffer, start: number, end: number): number {
    let hash = 0x811c9dc5
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ buffer[i], 0x01000193)
    hash ^= hash >>> 15
    const mask = this.slots.length - 1
    let slot = hash & mask
    for (let entry = this.slots[slot]; entry !== 0; entry = this.slots[slot]) {
      if (this.hashes[entry - 1] === hash && this.same(entry - 1, buffer, start, end))
        return this.indexOfEntry[entry - 1]
      slot = (slot + 1) & mask
    }
    const index = this.index(buffer.toString('utf8', start, end))
    this.remember(hash, slot, index, buffer, start, end)
    return index
  }

  /** '' for an index never given. */
  nameOf(index: number): string {
    return this.names[index] ?? ''
  }

  private same(entry: number, buffer: Buffer, start: number, end: number): boolean {
    const at = this.starts[entry]
    if (this.starts[entry + 1] - at !== end - start) return false
    for (let i = start, j = at; i < end; i++, j++) if (buffer[i] !== this.bytes[j]) return false
    return true
  }

  private remember(
    hash: number,
    slot: number,
    index: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const entry = this.entries++
    const at = this.starts[entry]
    if (at + end - start > this.bytes.length) {
      const larger = Buffer.allocUnsafe(2 * (at + end - start))
      this.bytes.copy(larger, 0, 0, at)
      this.bytes = larger
    }
    buffer.copy(this.bytes, at, start, end)
    this.starts[entry + 1] = at + end - start
    this.hashes[entry] = hash
    this.indexOfEntry[entry] = index
    this.slots[slot] = entry + 1
    if (this.entries === this.hashes.length) this.grow()
  }

  private grow(): void {
    const capacity = this.entries * 2
    const { hashes, starts, indexOfEntry } = this
    this.hashes = new Int32Array(capacity)
    this.hashes.set(hashes)
    this.starts = new Float64Array(capacity + 1)
    this.starts.set(starts)
    this.indexOfEntry = new Int32Array(capacity)
    this.indexOfEntry.set(indexOfEntry)
    this.slots = new Int32Array(capacity * 2)
    const mask = this.slots.length - 1
    for (let entry = 0; entry < this.entries; entry++) {
      let slot = this.hashes[entry] & mask
      while (this.slots[slot] !== 0) slot = (slot + 1) & mask
      this.slots[slot] = entry + 1
    }
  }
}
