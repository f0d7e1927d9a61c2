/** The fake item table at the cost of a real one: nearest vectors from an HNSW graph, sums known without a scan. Benches only. */
import { silentLogger } from '../../streams/log.ts'
import { loadGraphs } from '../items/hnsw.ts'
import { vectorDimension } from '../learner/rows.ts'
import { FakeItems } from './fakes.ts'

const d = vectorDimension

export class BenchItems extends FakeItems {
  private readonly sums = new Map<number, number>()

  /** Fails where hnswlib-node is not installed. */
  static of(size: number): BenchItems {
    const graphs = loadGraphs(silentLogger)
    if (graphs === undefined) throw new Error('the bench needs hnswlib-node: npm install it')
    const graph = graphs(d, size)
    const items = new BenchItems({
      items: size,
      seed: 1,
      nearest: (query, n) => graph.search(Array.from(query), n),
    })
    for (let i = 0; i < size; i++)
      graph.add(Array.from(items.output.subarray(i * d, (i + 1) * d)), i)
    return items
  }

  override decayedSum(h: number): number {
    const sum = this.sums.get(h) ?? super.decayedSum(h)
    this.sums.set(h, sum)
    return sum
  }
}
