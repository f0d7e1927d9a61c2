/**
 * How many of the best 60 by brute force a search finds, and what a search costs, over a day in which items come, go and
 * move: `npx tsx topologies/items/nearest.bench.ts [items]`, 20,000 without a number. 1% of the items come, 1% go; each is
 * published some ten times, moved by .12 of its length each time, so past `ann.moved` again and again. A follower's calls:
 * a slice of building a batch of rows, two points a search. Once with the graph, once by looking at all.
 * Vectors are uniform, the hardest case for a graph: learnt ones lie in fewer directions. CPU time, with 50 queries each
 * two hours of the day; recall also at the worst of them.
 */
import { silentLogger } from '../../streams/log.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { dot } from './dot.ts'
import { loadGraphs } from './hnsw.ts'
import { Nearest } from './nearest.ts'

const d = 32
const size = Number(process.argv[2] ?? 20_000)
const wanted = 60
const queries = 50
/** A quarter of an hour each. */
const steps = 96
const movedAStep = Math.round(size / 10)
const rowsABatch = 20
const way = 0.12

const random = randomFrom(1)
const anywhere = (): number => random() - 0.5

function aDay(name: string, bruteForceBelow: number) {
  const arrivals = Math.round(size / 100)
  const vectors = Float32Array.from({ length: (size + arrivals) * d }, anywhere)
  const nearest = new Nearest(d, { bruteForceBelow, moved: 0.1 }, loadGraphs(silentLogger))
  const members: number[] = []
  const add = (index: number): void => {
    members.push(index)
    nearest.moved(index, vectors)
  }
  for (let i = 0; i < size; i++) add(i)
  for (let n = 0; n < size; n += 32) nearest.work(vectors)

  const move = (index: number): void => {
    const step = Float32Array.from({ length: d }, anywhere)
    const at = index * d
    const scale = way * Math.sqrt(dot(vectors, at, vectors, at, d) / dot(step, 0, step, 0, d))
    for (let k = 0; k < d; k++) vectors[at + k] += scale * step[k]
    nearest.moved(index, vectors)
  }
  const recalls: number[] = []
  let searching = 0
  let writing = 0
  let graphs = 0
  let beside = 0
  for (let step = 0; step < steps; step++) {
    const from = cpu()
    for (let n = 0; n < movedAStep; n++) {
      move(members[Math.floor(random() * members.length)])
      const before = nearest.indexed
      if (n % rowsABatch === 0) nearest.work(vectors)
      if (nearest.indexed > before) graphs++
    }
    for (let n = 0; n < arrivals; n++) {
      if (Math.floor((n * steps) / arrivals) !== step) continue
      const [gone] = members.splice(Math.floor(random() * members.length), 1)
      nearest.removed(gone)
      add(size + n)
    }
    writing += cpu() - from
    if (step % 8 !== 7) continue
    beside = Math.max(beside, members.length - nearest.indexed)
    const asked = Array.from({ length: queries }, () => Float32Array.from({ length: d }, anywhere))
    const start = cpu()
    const found = asked.map(query => nearest.search(query, wanted, vectors))
    searching += cpu() - start
    const hits = asked.map((query, q) => {
      const best = new Set(exact(query, vectors, members))
      return found[q].filter(index => best.has(index)).length
    })
    recalls.push(hits.reduce((sum, n) => sum + n, 0) / queries / wanted)
  }
  return {
    name,
    'recall, mean': (recalls.reduce((sum, r) => sum + r, 0) / recalls.length).toFixed(4),
    worst: Math.min(...recalls).toFixed(4),
    'us a search': Math.round(searching / recalls.length / queries),
    'us a move': (writing / steps / movedAStep).toFixed(1),
    'new graphs': graphs,
    'most beside': beside,
  }
}

function cpu(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** The plain form: all products, sorted. */
function exact(query: Float32Array, vectors: Float32Array, members: readonly number[]): number[] {
  const products = new Map(members.map(i => [i, dot(query, 0, vectors, i * d, d)]))
  return [...members].sort((a, b) => products.get(b)! - products.get(a)!).slice(0, wanted)
}

console.table([aDay('graph', 0), aDay('all', Number.POSITIVE_INFINITY)])
