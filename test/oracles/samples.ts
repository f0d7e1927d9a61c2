/** Samples of all shapes for the comparisons, the same ones on every run. */
import { randomFrom } from '../../streams/serde/hash.ts'

export interface Pair<T> {
  readonly name: string
  readonly reference: T[]
  readonly current: T[]
}

type Draw = () => number

function normal(draw: Draw): number {
  return Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw())
}

/** Shapes: a value of the reference, and of a window that has moved by `by`. */
const shapes: Readonly<Record<string, (draw: Draw, by: number) => number>> = {
  uniform: (draw, by) => draw() + by,
  normal: (draw, by) => normal(draw) + by,
  scaled: (draw, by) => normal(draw) * (1 + by),
  lognormal: (draw, by) => Math.exp(2 * normal(draw) + by),
  cauchy: (draw, by) => Math.tan(Math.PI * (draw() - 0.5)) + by,
  milliseconds: (draw, by) => Math.round(1000 * Math.exp(normal(draw) + by)),
  counts: (draw, by) => Math.floor(30 * draw() ** 2 + 5 * by),
  stars: (draw, by) => 1 + Math.floor(5 * Math.min(0.999, draw() ** (1 / (1 + by)))),
  coin: (draw, by) => (draw() < 0.3 + by / 2 ? 1 : 0),
  capped: (draw, by) => Math.min(1, 1.3 * draw() + by / 3),
}

const sizes: readonly (readonly [number, number])[] = [
  [5, 7],
  [23, 11],
  [100, 100],
  [300, 450],
  [1000, 640],
  [1024, 1024],
  [2000, 333],
  [5000, 4999],
]

export function numberPairs(): Pair<number>[] {
  const pairs: Pair<number>[] = []
  let seed = 1
  for (const [shape, value] of Object.entries(shapes))
    for (const [n, m] of sizes) {
      const by = [0, 0.1, 0.5][seed % 3]
      const draw = randomFrom(seed++)
      const side = (size: number, moved: number) =>
        Array.from({ length: size }, () => value(draw, moved))
      const name = `${shape} ${n}:${m} moved by ${by}`
      pairs.push({ name, reference: side(n, 0), current: side(m, by) })
    }
  const same = (size: number, value: number) => new Array<number>(size).fill(value)
  const ramp = (size: number) => Array.from({ length: size }, (_, i) => i / 7)
  return [
    ...pairs,
    golden,
    { name: 'one constant', reference: same(50, 3), current: same(40, 3) },
    { name: 'two constants', reference: same(50, 3), current: same(40, 4) },
    { name: 'constant, then not', reference: same(50, 0.1), current: ramp(30) },
    { name: 'not, then constant', reference: ramp(60), current: same(20, 2) },
    { name: 'itself', reference: ramp(64), current: ramp(64) },
    { name: 'far apart', reference: ramp(64), current: ramp(50).map(x => x + 1e6) },
    { name: 'three rows', reference: [1, 2, 4], current: [2, 3, 5] },
    { name: 'one row', reference: [1], current: [2] },
    { name: 'large', reference: ramp(90).map(x => x * 1e12), current: ramp(80).map(x => x * 2e12) },
    {
      name: 'small',
      reference: ramp(90).map(x => x * 1e-12),
      current: ramp(80).map(x => x * 2e-12),
    },
  ]
}

/** The samples of the golden file. */
export const golden: Pair<number> = {
  name: 'golden',
  reference: Array.from({ length: 2000 }, (_, i) => ((7919 * i) % 10007) / 10007),
  current: Array.from({ length: 1500 }, (_, i) => 0.1 + (1.1 * ((104729 * i) % 10007)) / 10007),
}

export function categoryPairs(): Pair<string>[] {
  const pairs: Pair<string>[] = []
  let seed = 1000
  for (const kinds of [1, 2, 3, 8, 40, 400])
    for (const [n, m] of sizes) {
      const skew = [1, 1.1, 1.6][seed % 3]
      const draw = randomFrom(seed++)
      const side = (size: number, power: number) =>
        Array.from({ length: size }, () => `k${Math.floor(kinds * draw() ** power)}`)
      pairs.push({
        name: `${kinds} categories ${n}:${m}, skew ${skew}`,
        reference: side(n, 2),
        current: side(m, 2 * skew),
      })
    }
  const many = (size: number, kind: string) => new Array<string>(size).fill(kind)
  return [
    ...pairs,
    { name: 'all new', reference: many(30, 'a'), current: many(20, 'b') },
    { name: 'one new', reference: many(30, 'a'), current: [...many(20, 'a'), 'b'] },
    {
      name: 'new among many',
      reference: [...many(30, 'a'), ...many(9, 'b'), 'c'],
      current: [...many(20, 'a'), ...many(9, 'd')],
    },
  ]
}
