import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { ShareQuantiles } from './quantiles.ts'

const MINUTE = 60_000

/** All plays as a list, counted anew each time. */
class Recount {
  plays: { watchedMs: number; durationMs: number }[] = []

  quantile(watchedMs: number, durationMs: number): number {
    const cell = (play: { watchedMs: number; durationMs: number }) =>
      Math.floor(this.share(play) * 50)
    const own = { watchedMs, durationMs }
    const like = this.plays.filter(play => this.band(play.durationMs) === this.band(durationMs))
    const below = like.filter(play => cell(play) < cell(own)).length
    const equal = like.filter(play => cell(play) === cell(own)).length
    return (below + equal / 2 + 20 * this.share(own)) / (like.length + 20)
  }

  private share({ watchedMs, durationMs }: { watchedMs: number; durationMs: number }): number {
    if (durationMs === 0) return watchedMs / (watchedMs + 30_000)
    return watchedMs >= durationMs ? 1 : watchedMs / durationMs
  }

  private band(durationMs: number): number {
    if (durationMs === 0) return -1
    let band = 0
    for (let above = 15_000; durationMs >= above && band < 11; above *= 2) band++
    return band
  }
}

function rows({ store }: ShareQuantiles): { key: Buffer; value: Buffer }[] {
  return store.take(1e9).map(row => {
    const key = new ByteWriter()
    const value = new ByteWriter()
    store.spec.writeKey(row, key)
    store.spec.writeValue(row, value)
    return { key: key.copy(), value: value.copy() }
  })
}

const copyOf = (written: ReturnType<typeof rows>): ShareQuantiles => {
  const copy = new ShareQuantiles()
  for (const { key, value } of written)
    copy.store.spec.restore(new ByteReader(key), new ByteReader(value))
  return copy
}

describe('the quantile of a share watched', () => {
  it('Q1: is that of a recount, whatever heartbeats come, and after a restore', () => {
    const beat = fc.record({
      play: fc.nat(6),
      durationMs: fc.constantFrom(0, 10_000, 16_000, 20 * MINUTE, 21 * MINUTE, 1e9),
      moreMs: fc.integer({ min: 0, max: 15 * MINUTE }),
      restores: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(beat, { maxLength: 60 }), beats => {
        let quantiles = new ShareQuantiles()
        const written: ReturnType<typeof rows> = []
        const recount = new Recount()
        const known = new Map<number, { watchedMs: number; durationMs: number }>()
        for (const { play, durationMs, moreMs, restores } of beats) {
          const before = known.get(play)
          const now = { watchedMs: (before?.watchedMs ?? 0) + moreMs, durationMs }
          recount.plays = [...known].filter(([id]) => id !== play).map(([, each]) => each)
          const given = before
            ? quantiles.move(before.watchedMs, before.durationMs, now.watchedMs, durationMs)
            : quantiles.add(now.watchedMs, durationMs)
          const expected = now.watchedMs === 0 ? 0 : recount.quantile(now.watchedMs, durationMs)
          expect(given).toBeCloseTo(expected, 12)
          known.set(play, now)
          if (!restores) continue
          written.push(...rows(quantiles))
          quantiles = copyOf(written)
        }
      }),
    )
  })

  it('is the share itself while nothing is known, and lets long items keep what they are worth', () => {
    const quantiles = new ShareQuantiles()
    expect(quantiles.add(5_000, 20_000)).toBe(0.25)
    // short clips are seen to the end, of 20 minutes most see a few
    for (let k = 0; k < 1_000; k++) {
      quantiles.add(20_000, 20_000)
      quantiles.add(k % 10 === 0 ? 12 * MINUTE : (k % 5) * MINUTE, 20 * MINUTE)
    }
    expect(quantiles.add(10_000, 20_000)).toBeLessThan(0.05)
    expect(quantiles.add(10 * MINUTE, 20 * MINUTE)).toBeGreaterThan(0.85)
  })

  it('Q3: forgets by halves, and what was forgotten may still move', () => {
    const quantiles = new ShareQuantiles()
    for (let k = 0; k < 1_000_000; k++) quantiles.add(1, 20_000)
    const [{ value }] = rows(quantiles)
    const reader = new ByteReader(value, 1)
    expect(reader.uint()).toBe(500_000)
    const few = new ShareQuantiles()
    expect(few.move(19_000, 20_000, 20_000, 20_000)).toBe(1)
  })
})
