import { describe, expect, it } from 'vitest'
import { hash53 } from '../../streams/serde/hash.ts'
import { RateSample } from './sample.ts'

/** Sends `perSecond` positives a second for `seconds` and returns how many were kept in each. */
function kept(sample: RateSample, perSecond: number, seconds: number, from = 0): number[] {
  return Array.from({ length: seconds }, (_, s) => {
    let n = 0
    for (let i = 0; i < perSecond; i++)
      if (sample.keeps(hash53(`${s} ${i}`), (from + s) * 1000 + (i * 1000) / perSecond)) n++
    return n
  })
}

describe('the learner keeps to its rate', () => {
  it('leaves nothing out at or below it', () => {
    expect(kept(new RateSample(300), 300, 3)).toEqual([300, 300, 300])
  })

  it('keeps about maxPerSecond of a long burst, and bounds its first second', () => {
    const [first, ...later] = kept(new RateSample(300), 30_000, 4)
    expect(first).toBeLessThan(300 * (1 + Math.log(100)) * 1.2)
    for (const n of later) expect(Math.abs(n - 300)).toBeLessThan(90)
  })

  it('keeps a share at any rate, and its rate of that share', () => {
    for (const n of kept(new RateSample(1e6, 0.1), 10_000, 3))
      expect(Math.abs(n - 1_000)).toBeLessThan(120)
    const [, ...later] = kept(new RateSample(300, 0.1), 30_000, 4)
    for (const n of later) expect(Math.abs(n - 300)).toBeLessThan(90)
  })

  it('samples uniformly within a second', () => {
    const sample = new RateSample(1_000)
    kept(sample, 10_000, 1)
    let early = 0
    let late = 0
    for (let i = 0; i < 10_000; i++)
      if (sample.keeps(hash53(`x${i}`), 1000 + i / 10)) i < 5_000 ? early++ : late++
    expect(Math.abs(early - late)).toBeLessThan(150)
  })

  it('lets all through again after the burst', () => {
    const sample = new RateSample(300)
    kept(sample, 30_000, 1)
    expect(kept(sample, 200, 2, 5)).toEqual([200, 200])
  })
})
