import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { Contents } from './contents.ts'

describe('content vectors', () => {
  it('are found again and the nearest named, as by looking at all, whatever comes, goes, hides and changes length', () => {
    const random = randomFrom(5)
    const contents = new Contents({ bruteForceBelow: 1_000, moved: 0.1 }, undefined)
    const plain = new Map<number, { vector: Float32Array; isNamed: boolean }>()
    const unit = (length: number): Float32Array => {
      const v = Float32Array.from({ length }, () => random() - 0.5)
      const norm = Math.hypot(...v)
      return v.map(x => x / norm)
    }
    for (let step = 0; step < 3_000; step++) {
      const item = Math.floor(random() * 60)
      // 10 is no multiple of four; from the middle on 6 is the commoner length
      const length = random() < (step < 1_500 ? 0.2 : 0.8) ? 6 : 10
      if (random() < 0.15) {
        contents.set(item, null)
        plain.delete(item)
      } else {
        const vector = unit(length)
        const isNamed = random() > 0.2
        contents.set(item, vector, isNamed)
        plain.set(item, { vector, isNamed })
      }
      if (step % 50 !== 0) continue
      const counts = [6, 10].map(
        n => [...plain.values()].filter(each => each.vector.length === n).length,
      )
      const usual = counts[0] > counts[1] ? 6 : 10
      expect(contents.length).toBe(usual)
      for (let i = 0; i < 60; i++) {
        const known = plain.get(i)?.vector
        expect(contents.get(i)).toEqual(known?.length === usual ? known : undefined)
      }
      const taste = unit(usual)
      const cosine = (v: Float32Array) => v.reduce((sum, x, k) => sum + x * taste[k], 0)
      const nearest = [...plain]
        .filter(([, { vector, isNamed }]) => isNamed && vector.length === usual)
        .map(([i, { vector }]) => ({ i, near: cosine(vector) }))
        .sort((a, b) => b.near - a.near)
        .slice(0, 7)
      const found = contents.nearest(taste, 7)
      expect(found).toHaveLength(nearest.length)
      for (const [k, i] of found.entries())
        expect(cosine(plain.get(i)!.vector)).toBeCloseTo(nearest[k].near, 5)
    }
  })
})
