/** The points where the streaming detectors see a change are river's, over streams of all kinds. */
import { beforeAll, describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { Adwin } from '../../topologies/drift/detectors/adwin.ts'
import { Ddm } from '../../topologies/drift/detectors/ddm.ts'
import { PageHinkley } from '../../topologies/drift/detectors/page-hinkley.ts'
import { runTools } from './tools.ts'

const rows = 3000

/** Kinds of streams: a value at place `i` of a stream whose level is `level`. */
const kinds: Readonly<Record<string, (draw: () => number, level: number) => number>> = {
  bits: (draw, level) => (draw() < 0.2 + level / 2 ? 1 : 0),
  uniform: (draw, level) => draw() + level,
  heavy: (draw, level) => Math.tan(Math.PI * (draw() - 0.5)) / 10 + 3 * level,
  lognormal: (draw, level) => Math.exp(3 * draw() + level),
  wholes: (draw, level) => Math.floor(10 * draw()) + Math.round(20 * level),
  constant: (_, level) => level,
  tiny: (draw, level) => 1e-9 * (draw() + level),
  far: (draw, level) => 1e6 + draw() + level,
}

interface Stream {
  readonly kind: string
  readonly values: number[]
}

/** Levels jump, creep or stay. */
function streams(): Stream[] {
  const list: Stream[] = []
  let seed = 1
  for (const [kind, value] of Object.entries(kinds))
    for (let k = 0; k < 16; k++) {
      const draw = randomFrom(seed++)
      const jump = 200 + Math.floor(1500 * draw())
      const size = [0, 0.05, 0.2, 0.8][k % 4] * (draw() < 0.3 ? -1 : 1)
      const level = (i: number): number =>
        0.4 + (k % 8 < 4 ? size * Math.floor(i / jump) : (size * i) / rows)
      const values = Array.from({ length: rows }, (_, i) => value(draw, level(i)))
      list.push({ kind, values })
    }
  // so sharp that the fewest newest values suffice for a cut
  for (let k = 0; k < 32; k++) {
    const draw = randomFrom(seed++)
    const values = Array.from({ length: 400 }, (_, i) => draw() + (i < 160 + k ? 0 : 1000))
    list.push({ kind: 'cliff', values })
  }
  return list
}

const all = streams()
const binary = all.filter(({ kind }) => kind === 'bits' || kind === 'uniform')
const errors = binary.map(({ values }) => values.map(value => (value > 0.7 ? 1 : 0)))

interface Seen {
  adwin: number[][]
  eager: number[][]
  widths: number[]
  means: number[]
  both: number[][]
  up: number[][]
  down: number[][]
  low: number[][]
  changes: number[][]
  warnings: number[][]
}
let seen: Seen

beforeAll(() => {
  seen = runTools(script, { streams: all.map(({ values }) => values), errors }) as Seen
}, 300_000)

const places = (values: readonly number[], detector: { update(value: number): boolean }) =>
  values.flatMap((value, i) => (detector.update(value) ? [i] : []))

describe('drift points are river’s', () => {
  it('ADWIN, with its window', () => {
    const detectors = all.map(() => new Adwin())
    const points = all.map(({ values }, i) => places(values, detectors[i]))
    expect(points).toEqual(seen.adwin)
    expect(detectors.map(detector => detector.width)).toEqual(seen.widths)
    detectors.forEach((detector, i) => {
      const scale = Math.max(1e-300, Math.abs(seen.means[i]))
      expect(Math.abs(detector.mean - seen.means[i]) / scale).toBeLessThan(1e-9)
    })
    const eager = { clock: 1, delta: 0.05, grace: 5, minPart: 3 }
    expect(all.map(({ values }) => places(values, new Adwin(eager)))).toEqual(seen.eager)
    expect(points.flat().length).toBeGreaterThan(50)
    expect(points.filter(each => each.length === 0).length).toBeGreaterThan(10)
  })

  it('Page-Hinkley, in its modes and with another threshold', () => {
    const of = (options: ConstructorParameters<typeof PageHinkley>[0]) =>
      all.map(({ values }) => places(values, new PageHinkley(options)))
    expect(of({})).toEqual(seen.both)
    expect(of({ mode: 'up' })).toEqual(seen.up)
    expect(of({ mode: 'down' })).toEqual(seen.down)
    expect(of({ threshold: 5 })).toEqual(seen.low)
    expect(seen.both.flat().length).toBeGreaterThan(50)
    expect(seen.low.flat().length).toBeGreaterThan(200)
  })

  it('DDM, with its warnings', () => {
    const changes: number[][] = []
    const warnings: number[][] = []
    for (const bits of errors) {
      const detector = new Ddm()
      changes.push([])
      warnings.push([])
      bits.forEach((bit, i) => {
        if (detector.update(bit === 1)) changes[changes.length - 1].push(i)
        if (detector.isWarning) warnings[warnings.length - 1].push(i)
      })
    }
    expect(changes).toEqual(seen.changes)
    expect(warnings).toEqual(seen.warnings)
    expect(changes.flat().length).toBeGreaterThan(15)
  })
})

const script = `
from river import drift
def points(make, values):
    detector, found = make(), []
    for i, x in enumerate(values):
        detector.update(x)
        if detector.drift_detected: found.append(i)
    return found, detector
out = {key: [] for key in ('adwin', 'eager', 'widths', 'means', 'both', 'up', 'down', 'low', 'changes', 'warnings')}
for values in given['streams']:
    found, detector = points(drift.ADWIN, values)
    out['adwin'].append(found)
    out['widths'].append(detector.width)
    out['means'].append(detector.estimation)
    out['eager'].append(points(lambda: drift.ADWIN(delta=.05, clock=1, grace_period=5, min_window_length=3), values)[0])
    out['both'].append(points(drift.PageHinkley, values)[0])
    out['up'].append(points(lambda: drift.PageHinkley(mode='up'), values)[0])
    out['down'].append(points(lambda: drift.PageHinkley(mode='down'), values)[0])
    out['low'].append(points(lambda: drift.PageHinkley(threshold=5), values)[0])
for bits in given['errors']:
    detector = drift.binary.DDM()
    changes, warned = [], []
    for i, x in enumerate(bits):
        detector.update(x)
        if detector.drift_detected: changes.append(i)
        if detector.warning_detected: warned.append(i)
    out['changes'].append(changes)
    out['warnings'].append(warned)
`
