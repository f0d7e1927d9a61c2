/**
 * The inner loop of vector-scan.ts as a WebAssembly module of some 400 bytes, assembled here: `scan(row, end, least, out)`
 * takes the dot product of the query (the first `dimension` float32 of the memory) with each row from byte `row` to `end`,
 * writes {row, product} for each product >= least from byte `out` on, and returns where it stopped writing.
 * It reads and writes the memory it is given and nothing else. One more than what counts may be written at the end.
 *
 * Hot and ugly: JavaScript has no SIMD. A row of 32 costs 3 ns here, and 25 ns by items/dot.ts (nearest.bench.ts).
 */

/** Of WebAssembly what is used here; Node's types know nothing of it. */
declare global {
  namespace WebAssembly {
    class Memory {
      constructor(pages: { initial: number })
      readonly buffer: ArrayBuffer
      grow(pages: number): number
    }
    class Module {
      constructor(bytes: Uint8Array)
    }
    class Instance {
      constructor(module: Module, imports: object)
      readonly exports: Record<string, unknown>
    }
  }
}

export type Scan = (row: number, end: number, least: number, out: number) => number

/** Bytes that `scan` writes a row. */
export const foundBytes = 8

const i32 = 0x7f
const f32 = 0x7d
const v128 = 0x7b
const memoryAlign4 = 2

const get = (local: number): number[] => [0x20, local]
const set = (local: number): number[] => [0x21, local]
const tee = (local: number): number[] => [0x22, local]
const constant = (value: number): number[] => [0x41, ...signed(value)]
const simd = (code: number): number[] => [0xfd, ...unsigned(code)]
const load = (offset: number): number[] => [...simd(0), memoryAlign4, ...unsigned(offset)]
const multiply = simd(0xe6)
const add = simd(0xe4)
/** The upper half of a vector before the lower. */
const swapHalves = [...simd(13), 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]
const lane = (n: number): number[] => [...simd(0x1f), n]
const i32Add = 0x6a
const i32Store = [0x36, memoryAlign4, 0]
const f32StoreBehind = [0x38, memoryAlign4, 4]
const f32Add = 0x92
const f32GreaterOrEqual = 0x60
const shiftLeft = 0x74
const loop = [0x03, 0x40]
const againIfBelow = [0x49, 0x0d, 0]
const end = 0x0b

/** Parameters, then locals, by number. */
const row = 0
const last = 1
const least = 2
const out = 3
const product = 4
const sums = 5
const query = 6

/** @param dimension a multiple of 4. */
export function scanOf(dimension: number, memory: WebAssembly.Memory): Scan {
  const module = new WebAssembly.Module(moduleOf(dimension / 4))
  return new WebAssembly.Instance(module, { host: { memory } }).exports.scan as Scan
}

/** @param quads of four float32 in a row. */
function moduleOf(quads: number): Uint8Array<ArrayBuffer> {
  const code = [
    ...Array.from({ length: quads }, (_, q) => [
      ...constant(0),
      ...load(16 * q),
      ...set(query + q),
    ]).flat(),
    ...loop,
    ...sumOf(0, quads),
    ...[...tee(sums), ...get(sums), ...get(sums), ...swapHalves, ...add, ...tee(sums)],
    ...[...lane(0), ...get(sums), ...lane(1), f32Add, ...set(product)],
    ...[...get(out), ...get(row), ...i32Store],
    ...[...get(out), ...get(product), ...f32StoreBehind],
    // what is too small is written over by the next
    ...[...get(out), ...get(product), ...get(least), f32GreaterOrEqual],
    ...[...constant(Math.log2(foundBytes)), shiftLeft, i32Add, ...set(out)],
    ...[...get(row), ...constant(16 * quads), i32Add, ...tee(row), ...get(last), ...againIfBelow],
    ...[end, ...get(out), end],
  ]
  const locals = [2, 1, f32, 1 + quads, v128]
  const body = [...locals, ...code]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // one type, the memory it is given, one function, its export, its body
    ...section(1, [1, 0x60, 4, i32, i32, f32, i32, 1, i32]),
    ...section(2, [1, ...name('host'), ...name('memory'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('scan'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ])
}

/** Products of the quads from..to of the row with the query's, added by pairs: sums wait for each other least so. */
function sumOf(from: number, to: number): number[] {
  if (to - from === 1) return [...get(query + from), ...get(row), ...load(16 * from), ...multiply]
  const middle = (from + to) >> 1
  return [...sumOf(from, middle), ...sumOf(middle, to), ...add]
}

function section(id: number, content: number[]): number[] {
  return [id, ...unsigned(content.length), ...content]
}

function name(text: string): number[] {
  return [text.length, ...Buffer.from(text)]
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)]
}
