import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../streams/log.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { loadGraphs } from './hnsw.ts'
import { type GraphFactory, Nearest } from './nearest.ts'

const d = 32

function vectorsOf(n: number, seed: number): Float32Array {
  const random = randomFrom(seed)
  return Float32Array.from({ length: n * d }, () => random() + random() + random() - 1.5)
}

/** The definition: all dot products, sorted. */
function exact(query: Float32Array, vectors: Float32Array, members: number[], n: number): number[] {
  const dot = (i: number): number => query.reduce((sum, q, k) => sum + q * vectors[i * d + k], 0)
  return members
    .map(i => ({ i, score: dot(i) }))
    .sort((a, b) => b.score - a.score || a.i - b.i)
    .slice(0, n)
    .map(({ i }) => i)
}

function recall(nearest: Nearest, vectors: Float32Array, members: number[]): number {
  let hits = 0
  const queries = vectorsOf(40, 99)
  for (let q = 0; q < 40; q++) {
    const query = queries.subarray(q * d, (q + 1) * d)
    const expected = new Set(exact(query, vectors, members, 30))
    for (const i of nearest.search(query, 30, vectors)) if (expected.has(i)) hits++
  }
  return hits / (40 * 30)
}

describe('nearest vectors', () => {
  it('are exact while all are looked at, also without the library', () => {
    const vectors = vectorsOf(500, 1)
    const members = Array.from({ length: 500 }, (_, i) => i).filter(i => i % 3 !== 0)
    const nearest = new Nearest(d, { bruteForceBelow: 10, moved: 0.1 }, undefined)
    for (const i of members) nearest.moved(i, vectors)
    nearest.work(vectors, 10_000)
    expect(nearest.indexed).toBe(0)
    const query = vectorsOf(1, 7)
    expect(nearest.search(query, 20, vectors)).toEqual(exact(query, vectors, members, 20))
  })

  const graphs = loadGraphs(silentLogger)
  it.runIf(graphs !== undefined)(
    'come from the graph with a recall near 1, while vectors move',
    () => {
      const n = 1_500
      const vectors = vectorsOf(n, 2)
      const members = Array.from({ length: n }, (_, i) => i)
      const nearest = new Nearest(d, { bruteForceBelow: 200, moved: 0.1 }, graphs)
      for (const i of members) nearest.moved(i, vectors)
      expect(nearest.indexed).toBe(0)
      for (let slice = 0; slice < 40 && nearest.indexed === 0; slice++) nearest.work(vectors)
      expect(nearest.indexed).toBe(n)
      expect(recall(nearest, vectors, members)).toBeGreaterThan(0.95)

      // a fifth moves far, another fifth hardly
      const other = vectorsOf(n, 3)
      for (let i = 0; i < n; i += 5) {
        vectors.set(other.subarray(i * d, (i + 1) * d), i * d)
        nearest.moved(i, vectors)
        vectors[(i + 1) * d] += 1e-3
        nearest.moved(i + 1, vectors)
      }
      expect(nearest.indexed).toBe(n - n / 5)
      expect(recall(nearest, vectors, members)).toBeGreaterThan(0.95)

      nearest.removed(7)
      const left = members.filter(i => i !== 7)
      const query = vectors.slice(7 * d, 8 * d)
      expect(nearest.search(query, 50, vectors)).not.toContain(7)

      // so many move that the graph is built anew
      for (const i of left) {
        vectors.set(other.subarray(i * d, (i + 1) * d), i * d)
        nearest.moved(i, vectors)
      }
      for (let slice = 0; slice < 60; slice++) nearest.work(vectors)
      expect(nearest.indexed).toBe(n - 1)
      expect(recall(nearest, vectors, left)).toBeGreaterThan(0.95)
    },
  )

  it.runIf(graphs !== undefined)(
    'stand once, whether they leave and come back before, while or after a graph is built',
    () => {
      const n = 1_000
      const vectors = vectorsOf(n, 8)
      const members = Array.from({ length: n }, (_, i) => i)
      const nearest = new Nearest(d, { bruteForceBelow: 200, moved: 0.1 }, graphs)
      const leaveAndReturn = (from: number, to: number, returning = to): void => {
        for (let i = from; i < to; i++) nearest.removed(i)
        expect(nearest.size).toBe(n - (to - from))
        for (let i = from; i < returning; i++) nearest.moved(i, vectors)
        expect(nearest.size).toBe(n - (to - returning))
      }
      const check = (expected: number[]): void => {
        expect(nearest.size).toBe(expected.length)
        expect(recall(nearest, vectors, expected)).toBeGreaterThan(0.95)
        const found = nearest.search(vectors.slice(3 * d, 4 * d), 60, vectors)
        expect(new Set(found).size).toBe(found.length)
        expect(found.filter(i => !expected.includes(i))).toEqual([])
      }
      for (const i of members) nearest.moved(i, vectors)
      leaveAndReturn(0, 50)
      check(members)
      nearest.work(vectors, 100)
      // some are in the new graph already, the others are to come
      leaveAndReturn(50, 150)
      leaveAndReturn(50, 150)
      nearest.work(vectors, 850)
      expect(nearest.indexed).toBe(0)
      nearest.work(vectors, 50)
      expect(nearest.indexed).toBe(n)
      check(members)

      leaveAndReturn(0, 50, 40)
      check(members.filter(i => i < 40 || i >= 50))
      for (let i = 40; i < 50; i++) nearest.moved(i, vectors)
      const other = vectorsOf(n, 9)
      vectors.set(other)
      for (const i of members) nearest.moved(i, vectors)
      leaveAndReturn(0, 50, 40)
      nearest.work(vectors, 100)
      for (let i = 40; i < 50; i++) nearest.moved(i, vectors)
      while (nearest.indexed < 990) nearest.work(vectors)
      check(members)
    },
  )

  it.runIf(graphs !== undefined)(
    'keep a recall of .98 over a day in which items come, go and move',
    () => {
      const n = 3_000
      const vectors = vectorsOf(n, 4)
      const steps = vectorsOf(n, 5)
      const random = randomFrom(6)
      const members = new Set<number>()
      const nearest = new Nearest(d, { bruteForceBelow: 200, moved: 0.1 }, graphs)
      const add = (i: number): void => {
        members.add(i)
        nearest.moved(i, vectors)
      }
      for (let i = 0; i < n - 300; i++) add(i)
      while (nearest.indexed === 0) nearest.work(vectors, 500)
      let unsettled = 0
      let settled = n
      for (let hour = 0; hour < 12; hour++) {
        for (let i = n - 300 + 25 * hour; i < n - 275 + 25 * hour; i++) add(i)
        for (let k = 0; k < 250; k++) {
          const i = Math.floor(random() * n)
          if (!members.has(i)) continue
          if (k % 10 === 0) {
            members.delete(i)
            nearest.removed(i)
            continue
          }
          for (let at = i * d; at < (i + 1) * d; at++) vectors[at] += 0.2 * steps[at]
          nearest.moved(i, vectors)
          if (k % 5 === 0) nearest.work(vectors)
        }
        unsettled = Math.max(unsettled, members.size - nearest.indexed)
        settled = hour < 2 ? settled : Math.min(settled, members.size - nearest.indexed)
        expect(recall(nearest, vectors, [...members])).toBeGreaterThanOrEqual(0.98)
      }
      // the delta buffer was in use, and was emptied by a swap
      expect(unsettled).toBeGreaterThan(512)
      expect(settled).toBeLessThan(512)
    },
  )
})

describe('a graph that lost points', () => {
  it('still gives as many as are asked for, and is made anew once too many left', () => {
    const d = 8
    const random = randomFrom(12)
    const vectors = Float32Array.from({ length: 2_000 * d }, () => random() - 0.5)
    const built: number[] = []
    const graphs: GraphFactory = (_dimension, capacity) => {
      const points: { vector: number[]; label: number }[] = []
      built.push(capacity)
      return {
        add: (vector, label) => void points.push({ vector, label }),
        search: (query, n) =>
          points
            .map(({ vector, label }) => ({
              label,
              near: vector.reduce((sum, x, k) => sum + x * query[k], 0),
            }))
            .sort((a, b) => b.near - a.near)
            .slice(0, n)
            .map(({ label }) => label),
      }
    }
    const nearest = new Nearest(d, { bruteForceBelow: 100, moved: 0.1 }, graphs)
    for (let i = 0; i < 2_000; i++) nearest.moved(i, vectors)
    while (nearest.indexed === 0) nearest.work(vectors)
    const query = vectors.slice(0, d)
    const best = nearest.search(query, 40, vectors)
    for (const index of best.slice(0, 30)) nearest.removed(index)
    const left = nearest.search(query, 40, vectors)
    expect(left).toHaveLength(40)
    expect(left.slice(0, 10)).toEqual(best.slice(30))
    const before = built.length
    for (let i = 0; i < 2_000; i += 2) nearest.removed(i)
    for (let k = 0; k < 100; k++) nearest.work(vectors)
    expect(built.length).toBe(before + 1)
    expect(nearest.search(query, 40, vectors)).toHaveLength(40)
  })
})
