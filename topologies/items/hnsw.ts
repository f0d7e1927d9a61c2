/** hnswlib-node as a Graph. It is an optional dependency: it compiles at install, and a machine may lack a compiler. */
import { createRequire } from 'node:module'
import { messageOf } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import type { GraphFactory } from './nearest.ts'

type Hnswlib = typeof import('hnswlib-node')

const M = 16
const EF_CONSTRUCTION = 100
const SEED = 100

let loaded: GraphFactory | undefined | null = null

/** Undefined where the library is absent; says so once. */
export function loadGraphs(log: Logger): GraphFactory | undefined {
  if (loaded !== null) return loaded
  try {
    const lib: Hnswlib = createRequire(import.meta.url)('hnswlib-node')
    loaded = (dimension, capacity) => {
      const index = new lib.HierarchicalNSW('ip', dimension)
      index.initIndex(capacity, M, EF_CONSTRUCTION, SEED)
      return {
        add: (vector, label) => index.addPoint(vector, label),
        search(query, n) {
          if (n === 0) return []
          index.setEf(Math.max(64, 2 * n))
          return index.searchKnn(query, n).neighbors
        },
      }
    }
  } catch (error) {
    log.warn(
      { error: messageOf(error) },
      'hnswlib-node is not installed: nearest vectors are found by looking at all of them, which is exact and slower above 40,000 items',
    )
    loaded = undefined
  }
  return loaded
}
