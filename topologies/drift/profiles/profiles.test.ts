import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../../streams/serde/hash.ts'
import { type Figure, isOver } from '../figures.ts'
import { binning } from '../statistics/bins.ts'
import { minVectors } from '../statistics/domain-classifier.ts'
import { embeddingFigures } from './embedding.ts'
import { evidentlyDataSet } from './evidently.ts'
import { profileFigures, profileNames } from './index.ts'
import { chunkThreshold, nannymlNumbers } from './nannyml.ts'
import type { Sample } from './sample.ts'

const numbers = (values: readonly number[]): Sample => ({
  kind: 'numbers',
  values: Float64Array.from(values),
})
const categories = (values: readonly string[]): Sample => ({ kind: 'categories', values })
const value = (figures: readonly Figure[], statistic: string): number =>
  figures.find(figure => figure.statistic === statistic)?.value ?? Number.NaN

const isSound = ({ value, threshold, reason }: Figure): boolean =>
  (value === null ? reason !== '' : Number.isFinite(value)) &&
  (threshold === null || Number.isFinite(threshold))

describe('published values of the tools', () => {
  const reference = Array.from({ length: 2000 }, (_, i) => ((7919 * i) % 10007) / 10007)
  const current = Array.from(
    { length: 1500 },
    (_, i) => 0.1 + (1.1 * ((104729 * i) % 10007)) / 10007,
  )
  const of = (profile: (typeof profileNames)[number]) =>
    profileFigures(profile, numbers(reference), numbers(current))
  const close = (ours: number, theirs: number) =>
    expect(Math.abs(ours - theirs)).toBeLessThanOrEqual(1e-9 * theirs)

  it('evidently and KS', () => {
    const figures = of('evidently')
    close(value(figures, 'psi'), 1.7778937921843383)
    close(value(figures, 'kl'), 0.7055753245823743)
    close(value(figures, 'js'), 0.30296815617044726)
    close(value(figures, 'w1'), 0.5146815556920055)
    close(value(figures, 'drift_score'), 0.5146815556920055)
    close(value(figures, 'ks_d'), 0.18316666666666667)
    close(value(figures, 'ks_p'), 1.3831224475495878e-25)
    expect(binning([...reference, ...current], 'sturges')?.bins).toBe(13)
  })
  it('nannyml, phoenix, frouros', () => {
    close(value(of('nannyml'), 'js'), 0.36696007070362036)
    close(value(of('nannyml'), 'w1'), 0.14864714033509882)
    expect(binning(reference, 'doane')?.bins).toBe(12)
    close(value(of('phoenix'), 'psi'), 0.48758709507753895)
    close(value(of('frouros'), 'psi'), 79.81794637265193)
  })
})

describe.each(profileNames)('%s: whatever comes in', profile => {
  const statistics = (figures: readonly Figure[]) => figures.map(figure => figure.statistic).sort()

  it('numbers give finite values, or null with a reason, of always the same statistics', () => {
    const one = fc.oneof(
      fc.double(),
      fc.integer({ min: -3, max: 3 }),
      fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 1e308, -1e308, 5e-324, 0, -0),
    )
    const side = fc.array(one, { maxLength: 60 })
    const always = statistics(profileFigures(profile, numbers([1, 2, 3, 9]), numbers([2, 3, 4])))
    fc.assert(
      fc.property(side, side, (reference, current) => {
        const figures = profileFigures(profile, numbers(reference), numbers(current))
        expect(figures.filter(figure => !isSound(figure))).toEqual([])
        expect(statistics(figures)).toEqual(always)
      }),
      { numRuns: 300 },
    )
  })

  it('categories too', () => {
    const side = fc.array(fc.constantFrom('a', 'b', 'c', '', 'toString', '~other'), {
      maxLength: 40,
    })
    const always = statistics(profileFigures(profile, categories(['a', 'b']), categories(['b'])))
    fc.assert(
      fc.property(side, side, (reference, current) => {
        const figures = profileFigures(profile, categories(reference), categories(current))
        expect(figures.filter(figure => !isSound(figure))).toEqual([])
        expect(statistics(figures)).toEqual(always)
      }),
    )
  })

  it('an empty side is a reason; two kinds are a mistake', () => {
    for (const [reference, current, reason] of [
      [[], [1, 2], 'the reference has no values'],
      [[Number.NaN], [1, 2], 'the reference has no values'],
      [[1, 2], [], 'the window has no values'],
      [[1, 2], [Number.NEGATIVE_INFINITY], 'the window has no values'],
    ] as const)
      for (const figure of profileFigures(profile, numbers(reference), numbers(current)))
        expect(figure).toMatchObject({ value: null, reason })
    expect(() => profileFigures(profile, numbers([1]), categories(['a']))).toThrow('categories')
  })
})

describe('verdicts', () => {
  it('evidently: p-values alarm below, distances from their threshold on', () => {
    const draw = randomFrom(1)
    const some = (n: number, by: number) => Array.from({ length: n }, () => draw() + by)
    const small = profileFigures('evidently', numbers(some(500, 0)), numbers(some(500, 0.3)))
    const score = small.find(figure => figure.statistic === 'drift_score')
    expect(score).toMatchObject({ threshold: 0.05, alarmsWhen: '<=' })
    expect(score && isOver(score)).toBe(true)
    const large = profileFigures('evidently', numbers(some(1001, 0)), numbers(some(500, 0)))
    expect(large.find(figure => figure.statistic === 'drift_score')).toMatchObject({
      threshold: 0.1,
      alarmsWhen: '>=',
      value: value(large, 'w1'),
    })
    expect(evidentlyDataSet([small, large])).toMatchObject({ value: 0.5, threshold: 0.5 })
    expect(isOver(evidentlyDataSet([small, large]))).toBe(true)
    expect(evidentlyDataSet([[]])).toMatchObject({ value: null, reason: 'no column has a verdict' })
  })
  it('nannyml: chunks given are those that count', () => {
    const all = Float64Array.from({ length: 100 }, (_, i) => i)
    const chunks = [all.subarray(0, 50), all.subarray(50), all.filter(x => x % 2 === 0)]
    const figures = nannymlNumbers(all, all.subarray(20), chunks)
    const ofChunks = chunks.map(chunk => value(nannymlNumbers(all, chunk, []), 'w1'))
    expect(figures.find(figure => figure.statistic === 'w1')?.threshold).toBeCloseTo(
      chunkThreshold(ofChunks) ?? 0,
      12,
    )
    expect(nannymlNumbers(all, all, [])[0]).toMatchObject({ threshold: null })
    expect(chunkThreshold([1, Number.NaN, 3])).toBe(5)
  })
})

describe('embeddings', () => {
  const cloud = (n: number, seed: number, by: number, length = 16): Float32Array[] => {
    const draw = randomFrom(seed)
    const gauss = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw())
    return Array.from({ length: n }, () =>
      Float32Array.from({ length }, (_, i) => gauss() + (i === 0 ? 2 + by : i === 1 ? -by : 0)),
    )
  }

  it('what has moved alarms, what has not does not', () => {
    const reference = cloud(600, 1, 0)
    const verdicts = (current: Float32Array[]) =>
      embeddingFigures(reference, current, 7).map(figure => isOver(figure))
    expect(verdicts(cloud(500, 2, 0))).toEqual([false, false, false])
    expect(verdicts(cloud(500, 3, -1.5))).toEqual([true, false, true])
  })
  it('the AUC of a shift is what the normal distribution says, and repeats', () => {
    // two clouds d apart: AUC = Phi(d / sqrt 2), d = sqrt 2 x .8
    const [reference, current] = [cloud(4000, 4, 0), cloud(4000, 5, 0.8)]
    const figures = embeddingFigures(reference, current, 1)
    expect(value(figures, 'domain_auc')).toBeCloseTo(0.788, 1)
    expect(value(figures, 'centroid_distance')).toBeCloseTo(0.8 * Math.SQRT2, 1)
    expect(embeddingFigures(reference, current, 1)).toEqual(figures)
  })
  it('chance alone exceeds the threshold as seldom as it says', () => {
    let alarms = 0
    for (let trial = 0; trial < 400; trial++) {
      const figures = embeddingFigures(
        cloud(60, 2 * trial, 0, 6),
        cloud(40, 2 * trial + 1, 0, 6),
        trial,
      )
      if (figures.some(figure => figure.statistic === 'domain_auc' && isOver(figure))) alarms++
    }
    expect(alarms).toBeLessThanOrEqual(4)
  })
  it('long vectors are projected', () => {
    const figures = embeddingFigures(cloud(200, 8, 0, 300), cloud(200, 9, 6, 300), 3)
    expect(value(figures, 'domain_auc')).toBeGreaterThan(0.9)
  })
  it('bad vectors: null with a reason', () => {
    const good = cloud(minVectors, 10, 0, 4)
    const zeros = good.map(() => new Float32Array(4))
    for (const [reference, current] of [
      [[], good],
      [good, []],
      [good, zeros],
      [zeros, good],
      [zeros, zeros],
      [good, [Float32Array.of(1, 2)]],
      [good, [Float32Array.of(Number.NaN, 1, 1, 1)]],
      [good.slice(0, 3), good],
      [[new Float32Array(0)], good],
    ])
      for (const figure of embeddingFigures(reference, current, 1))
        expect(isSound(figure), JSON.stringify(figure)).toBe(true)
    expect(value(embeddingFigures(zeros, zeros, 1), 'domain_auc')).toBe(0.5)
  })
})
