import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'
import { Adwin } from './adwin.ts'
import { Ddm } from './ddm.ts'
import { PageHinkley } from './page-hinkley.ts'

interface Detector {
  update(x: number): boolean
  write(w: ByteWriter): void
}

const detectors: Readonly<Record<string, { make(): Detector; read(r: ByteReader): Detector }>> = {
  adwin: { make: () => new Adwin({ clock: 4 }), read: r => Adwin.read(r, { clock: 4 }) },
  pageHinkley: {
    make: () => new PageHinkley({ threshold: 3, minRows: 5 }),
    read: r => PageHinkley.read(r, { threshold: 3, minRows: 5 }),
  },
  ddm: {
    make: () => asNumbers(new Ddm({ warmUp: 5 })),
    read: r => asNumbers(Ddm.read(r, { warmUp: 5 })),
  },
}

function asNumbers(ddm: Ddm): Detector {
  return { update: x => ddm.update(x > 0.5), write: w => ddm.write(w) }
}

const written = (detector: Detector): string => {
  const w = new ByteWriter()
  detector.write(w)
  return w.copy().toString('hex')
}

describe.each(Object.entries(detectors))('%s', (_, { make, read }) => {
  it('goes on after being written and read as if nothing had happened', () => {
    const value = fc.oneof(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom(0, 1, 5, Number.NaN, Number.POSITIVE_INFINITY),
    )
    const stream = fc.array(value, { minLength: 1, maxLength: 400 })
    fc.assert(
      fc.property(stream, fc.nat(), (values, cut) => {
        const whole = make()
        let other = make()
        values.forEach((x, i) => {
          if (i === cut % values.length) {
            const bytes = Buffer.from(written(other), 'hex')
            const reader = new ByteReader(bytes)
            other = read(reader)
            expect(reader.left).toBe(0)
          }
          expect(other.update(x)).toBe(whole.update(x))
        })
        expect(written(other)).toBe(written(whole))
      }),
    )
  })

  it('sees nothing in a constant stream', () => {
    for (const constant of [0, 1]) {
      const detector = make()
      for (let i = 0; i < 2000; i++) expect(detector.update(constant)).toBe(false)
    }
  })

  it('sees a jump', () => {
    const detector = make()
    const found = Array.from({ length: 1000 }, (_, i) =>
      detector.update(i < 500 ? (i % 10 === 0 ? 1 : 0) : i % 10 === 0 ? 0 : 1),
    )
    expect(found.indexOf(true)).toBeGreaterThanOrEqual(500)
  })
})

it('Page-Hinkley clipped: S by hand', () => {
  const detector = new PageHinkley({ mode: 'clipped' })
  let s = 0
  let sum = 0
  for (let i = 0; i < 1000; i++) {
    const x = i < 400 ? i % 2 : 2 + (i % 2)
    sum += x
    s = Math.max(0, 0.9999 * s + x - sum / (i + 1) - 0.005)
    const isChange = detector.update(x)
    expect(isChange).toBe(i >= 29 && s >= 50)
    if (isChange) return
  }
  expect.fail('no change was seen')
})
