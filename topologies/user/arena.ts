/**
 * Byte strings of many sizes in a few large pages. A Buffer of its own costs 200 B beside its bytes; a block here costs its
 * length and what rounding up to a size class leaves, 2 % on average. Freed blocks are used again by their class.
 *
 * A handle is the block's place in units of 8 B, a small integer; 0 is none. What does not fit a page has one of its own.
 *
 * Pages are cut from slabs that double in size: above 32 MiB the C library maps a slab by itself, so that what is not
 * touched yet takes no memory, and pages do not lie between what is freed in the meantime and keep it from the system.
 */
const UNIT = 8
const PAGE_BYTES = 1 << 18
const UNITS_A_PAGE = PAGE_BYTES / UNIT
const LARGEST_SLAB_BYTES = 1 << 26
const LENGTH_BYTES = 4
/** Up to here a block is freed for its size class, above with its page. */
const LARGEST_CLASS = 8192
const NO_PAGE = Buffer.alloc(0)

export class Arena {
  /** The first number is taken, so that no handle is 0. */
  private readonly pages: Buffer[] = [NO_PAGE]
  private slab = NO_PAGE
  private slabUsed = 0
  /** First unit of the newest common page, and of what is free in it. */
  private pageStart = 0
  private next = UNITS_A_PAGE
  /** Handles of freed blocks by their size in units. */
  private readonly free: number[][] = []
  /** Bytes in use, rounding included. */
  bytes = 0
  /** Memory that the pages take. */
  pageBytes = 0

  /** Copies bytes in and gives their handle. */
  put(bytes: Uint8Array): number {
    const handle = this.reserve(bytes.length)
    this.pageOf(handle).set(bytes, this.startOf(handle))
    return handle
  }

  /** A block for so many bytes, which the caller writes. */
  reserve(length: number): number {
    const units = unitsFor(length)
    const handle =
      units > LARGEST_CLASS ? this.ownPage(units) : (this.free[units]?.pop() ?? this.take(units))
    this.bytes += units * UNIT
    this.pageOf(handle).writeUInt32LE(length, offsetIn(handle))
    return handle
  }

  private take(units: number): number {
    if (this.next + units > UNITS_A_PAGE) {
      this.pageStart = this.addPage(this.cutPage(), 1)
      this.next = 0
    }
    const handle = this.pageStart + this.next
    this.next += units
    return handle
  }

  private ownPage(units: number): number {
    return this.addPage(Buffer.allocUnsafeSlow(units * UNIT), Math.ceil(units / UNITS_A_PAGE))
  }

  private cutPage(): Buffer {
    if (this.slabUsed === this.slab.length) {
      const bytes = Math.min(LARGEST_SLAB_BYTES, Math.max(PAGE_BYTES, this.slab.length * 2))
      this.slab = Buffer.allocUnsafeSlow(bytes)
      this.slabUsed = 0
    }
    const start = this.slabUsed
    this.slabUsed += PAGE_BYTES
    return this.slab.subarray(start, this.slabUsed)
  }

  /** Gives the page's first unit; a large one has several numbers. */
  private addPage(page: Buffer, numbers: number): number {
    const start = this.pages.length * UNITS_A_PAGE
    for (let n = 0; n < numbers; n++) this.pages.push(page)
    this.pageBytes += page.length
    return start
  }

  pageOf(handle: number): Buffer {
    return this.pages[Math.floor(handle / UNITS_A_PAGE)]
  }

  /** Where the bytes begin in their page. */
  startOf(handle: number): number {
    return offsetIn(handle) + LENGTH_BYTES
  }

  lengthOf(handle: number): number {
    return this.pageOf(handle).readUInt32LE(offsetIn(handle))
  }

  /** Gives a block back: its handle must not be used again. */
  release(handle: number): void {
    const units = unitsFor(this.lengthOf(handle))
    this.bytes -= units * UNIT
    if (units > LARGEST_CLASS) {
      const page = this.pageOf(handle)
      this.pageBytes -= page.length
      for (let n = handle / UNITS_A_PAGE; this.pages[n] === page; n++) this.pages[n] = NO_PAGE
      return
    }
    this.free[units] ??= []
    this.free[units].push(handle)
  }
}

const offsetIn = (handle: number): number => (handle % UNITS_A_PAGE) * UNIT

/** Exact to 512 B, then 32 size classes between powers of two, so that blocks of like size can take each other's place. */
function unitsFor(length: number): number {
  const units = Math.ceil((length + LENGTH_BYTES) / UNIT)
  if (units <= 64) return units
  const step = 1 << (26 - Math.clz32(units))
  return Math.ceil(units / step) * step
}
