/**
 * What user tasks send to statistic tasks: changes of histogram cells, summed over a commit.
 * Payload: source partition, its watermark (ms), then cells to the end. A cell: 1 and its block's head, or 0 where that is
 * the cell's before; subject, change of missing rows, then either
 *  numbers: 0, entries, (bin * 16 + shard, change) each; or
 *  categories: 1, names, (name, entries, (shard, change) each) each.
 * A block's head: surface, cohort, policy, model, size (0: counts in the minute and in the hour and day around it, 1: in
 * the hour only, 2: in the day only), number of the window of that size.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { DeltaChannel, Outbox } from '../../streams/topology/outbox.ts'
import { dimensions, type Place, placeKey } from './segments.ts'
import { type NumberSubject, shardCount, sizes } from './subjects.ts'

export const statisticsKind = 'statistics'

export const driftChannel: DeltaChannel = { id: 40, name: 'drift', to: statisticsKind }

/** The changes of one place and window since the last commit. */
class Block {
  readonly place: Place
  readonly size: number
  /** Number of the window of that size. */
  readonly window: number
  private readonly subjects: readonly NumberSubject[]
  readonly numbers: (Int32Array | undefined)[] = []
  readonly touched: number[][] = []
  readonly missing: Int32Array
  readonly categories: (Map<string, Int32Array> | undefined)[] = []
  readonly categoriesMissing: number[] = []

  constructor(subjects: readonly NumberSubject[], place: Place, size: number, window: number) {
    this.subjects = subjects
    this.missing = new Int32Array(subjects.length)
    this.place = place
    this.size = size
    this.window = window
  }

  count(subject: number, bin: number, shard: number, by: number): void {
    let counts = this.numbers[subject]
    if (counts === undefined) {
      counts = new Int32Array((this.subjects[subject].edges.length + 1) * shardCount)
      this.numbers[subject] = counts
      this.touched[subject] = []
    }
    const slot = bin * shardCount + shard
    if (counts[slot] === 0) this.touched[subject].push(slot)
    counts[slot] += by
  }

  countName(key: number, name: string, shard: number): void {
    let names = this.categories[key]
    if (names === undefined) {
      names = new Map()
      this.categories[key] = names
    }
    let counts = names.get(name)
    if (counts === undefined) {
      counts = new Int32Array(shardCount)
      names.set(name, counts)
    }
    counts[shard]++
  }
}

/** Gathers changes by place and window until the commit. Hot: a few array additions an event. */
export class DeltaBuffer {
  /** Windows that are changed: what the next packet holds. */
  windows = 0
  private readonly numberSubjects: readonly NumberSubject[]
  private readonly contextSubjects: readonly string[]
  private blocks = new Map<Place, Map<number, Block>>()
  private lastKey = -1
  private lastBlock: Block | undefined

  /** Blocks count by a subject's place in its list. */
  constructor(numberSubjects: readonly NumberSubject[], contextSubjects: readonly string[]) {
    this.numberSubjects = numberSubjects
    this.contextSubjects = contextSubjects
  }

  /** The block of the window of size number `size` around `ts`. Places are told apart by identity. */
  at(place: Place, size: number, ts: number): Block {
    const window = Math.floor(ts / sizes[size].ms)
    const key = window * sizes.length + size
    const { lastBlock } = this
    if (lastBlock && key === this.lastKey && place === lastBlock.place) return lastBlock
    let windows = this.blocks.get(place)
    if (windows === undefined) {
      windows = new Map()
      this.blocks.set(place, windows)
    }
    let block = windows.get(key)
    if (block === undefined) {
      block = new Block(this.numberSubjects, place, size, window)
      windows.set(key, block)
      this.windows++
    }
    this.lastKey = key
    this.lastBlock = block
    return block
  }

  /** Writes what was gathered, to each partition its subjects and the watermark, and starts anew. */
  flush(out: Outbox, partitions: number, source: number, watermark: number): void {
    const packets = Array.from({ length: partitions }, (_, partition) =>
      out.delta(driftChannel, partition).uint(source).uint(watermark),
    )
    const headed = new Array<Block | undefined>(partitions)
    const cellOf = (subject: string, block: Block, missing: number): ByteWriter => {
      const partition = partitionOfText(subject, partitions)
      const packet = packets[partition]
      if (headed[partition] === block) packet.u8(0)
      else writeHead(packet.u8(1), block)
      headed[partition] = block
      return packet.string(subject).int(missing)
    }
    for (const windows of this.blocks.values())
      for (const block of windows.values()) {
        this.numberSubjects.forEach(({ name }, i) => {
          if (block.numbers[i] || block.missing[i] !== 0)
            writeNumbers(
              cellOf(name, block, block.missing[i]),
              block.numbers[i],
              block.touched[i] ?? [],
            )
        })
        this.contextSubjects.forEach((name, i) => {
          const missing = block.categoriesMissing[i] ?? 0
          if (block.categories[i] || missing !== 0)
            writeNames(cellOf(name, block, missing), block.categories[i] ?? new Map())
        })
      }
    this.blocks = new Map()
    this.windows = 0
    this.lastBlock = undefined
  }
}

function writeHead(w: ByteWriter, { place, size, window }: Block): void {
  for (const dimension of dimensions) w.string(place[dimension])
  w.u8(size).uint(window)
}

function writeNumbers(w: ByteWriter, counts: Int32Array | undefined, touched: number[]): void {
  const slots = counts ? [...new Set(touched)].filter(slot => counts[slot] !== 0) : []
  w.u8(0).uint(slots.length)
  for (const slot of slots) w.uint(slot).int((counts as Int32Array)[slot])
}

function writeNames(w: ByteWriter, names: ReadonlyMap<string, Int32Array>): void {
  w.u8(1).uint(names.size)
  for (const [name, counts] of names) {
    w.string(name).uint(counts.reduce((sum, count) => sum + (count === 0 ? 0 : 1), 0))
    counts.forEach((count, shard) => {
      if (count !== 0) w.uint(shard).int(count)
    })
  }
}

export interface BlockHead {
  readonly place: Place
  readonly size: number
  /** Start of the window, ms. */
  readonly start: number
}

export const blockKey = ({ place, size, start }: BlockHead): string =>
  `${size} ${start}\n${placeKey(place)}`

/**
 * Reads a payload: `cell` gives who takes the changes of a cell (a slot each; names where the subject has categories). Cells
 * of one block come one after another, with the same `block`.
 */
export function readDeltas(
  payload: ByteReader,
  source: (partition: number, watermark: number) => void,
  cell: (
    block: BlockHead,
    subject: string,
    missing: number,
  ) => (name: string | null, slot: number, change: number) => void,
): void {
  source(payload.uint(), payload.uint())
  let block: BlockHead | undefined
  while (payload.left > 0) {
    if (payload.u8() === 1 || block === undefined) block = readHead(payload)
    const take = cell(block, payload.string(), payload.int())
    if (payload.u8() === 0) {
      for (let left = payload.uint(); left > 0; left--) take(null, payload.uint(), payload.int())
      continue
    }
    for (let names = payload.uint(); names > 0; names--) {
      const name = payload.string()
      for (let left = payload.uint(); left > 0; left--) take(name, payload.uint(), payload.int())
    }
  }
}

function readHead(r: ByteReader): BlockHead {
  const place = { surface: r.string(), cohort: r.string(), policy: r.string(), model: r.string() }
  const size = r.u8()
  return { place, size, start: r.uint() * sizes[size].ms }
}
