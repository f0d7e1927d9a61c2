/**
 * The rankers that the blend is measured against, each a single signal of the item table: all-time popularity, decayed
 * popularity, co-visitation and embedding alone. A ranker orders the candidates it is given and nothing else.
 */
import type { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { Covisit, covisitWindow } from '../../topologies/topk/retrieve/covisit.ts'
import { Embedding } from '../../topologies/topk/retrieve/embedding.ts'
import type { User } from '../../topologies/user/user.ts'
import { depth, type TopTen } from './top.ts'

/** One prediction: who is asked for when, and all that may be listed. */
export interface Question {
  /** From 1, in order. */
  readonly number: number
  /** Undefined before the user's first event. */
  readonly user: User | undefined
  /** Event time, ms. */
  readonly at: number
  /** Indices in the item table; `count` are valid. */
  readonly candidates: Int32Array
  readonly count: number
  /** By item: is it one of the candidates? */
  isCandidate(item: number): boolean
  /** By item: its place among all ids, for equal scores. */
  readonly order: Int32Array
}

export interface Ranker {
  readonly name: string
  rank(question: Question, top: TopTen): void
}

/** The user's first positives, newest first, as candidates are sought by. */
export class History {
  readonly items = new Int32Array(covisitWindow)
  length = 0

  of(user: User | undefined): this {
    this.length = Math.min(user?.positives.length ?? 0, covisitWindow)
    for (let k = 0; k < this.length; k++) this.items[k] = user?.positives.item(k) ?? 0
    return this
  }
}

/** Scores by place among the candidates; grows with them. */
export class Column {
  scores = new Float64Array(1024)

  of(count: number): Float64Array {
    if (count > this.scores.length) this.scores = new Float64Array(2 * count)
    return this.scores
  }
}

export function popularityRanker(items: MemoryItemTable): Ranker {
  const column = new Column()
  return {
    name: 'popularity',
    rank({ candidates, count, order }, top) {
      const scores = column.of(count)
      for (let i = 0; i < count; i++) scores[i] = items.positives(candidates[i])
      top.choose(candidates, count, scores, order)
    },
  }
}

/** Positives decayed at half-life number h: the table's own order, which does not underflow; uncounted items last. */
export function decayedRanker(items: MemoryItemTable, h: number): Ranker {
  const column = new Column()
  return {
    name: `decayed ${items.halfLivesMs[h]}`,
    rank(question, top) {
      for (let n = 64; ; n *= 4) {
        const list = items.popular(h, n)
        top.clear()
        for (const item of list) {
          if (!question.isCandidate(item)) continue
          top.append(item)
          if (top.size === depth) return
        }
        if (list.length < n) break
      }
      const { candidates, count, order } = question
      const scores = column.of(count)
      for (let i = 0; i < count; i++) {
        const place = top.placeOf(candidates[i])
        scores[i] = place === 0 ? Number.NEGATIVE_INFINITY : -place
      }
      top.choose(candidates, count, scores, order)
    },
  }
}

/** Half-life number 2, 12 h: what co-visitation falls back to. */
const fallback = 2

/**
 * S_j = sum of .8^k W[a_k][j] over the user's last positives. Equal scores, so all of a user's without a history, go by
 * decayed popularity: ranked by id they would say nothing, and the signal would look worse than it is used.
 */
export function covisitRanker(items: MemoryItemTable): Ranker {
  const column = new Column()
  const history = new History()
  const covisit = new Covisit()
  let byPopularity = new Int32Array(0)
  return {
    name: 'covisit',
    rank({ user, candidates, count, order }, top) {
      const { items: seen, length } = history.of(user)
      covisit.accumulate(ask(items, seen, length))
      const scores = column.of(count)
      for (let i = 0; i < count; i++) scores[i] = covisit.score(candidates[i])
      const popular = items.popular(fallback, items.size)
      if (byPopularity.length < order.length) byPopularity = new Int32Array(order.length)
      for (let i = 0; i < count; i++)
        byPopularity[candidates[i]] = popular.length + order[candidates[i]]
      for (let k = 0; k < popular.length; k++) byPopularity[popular[k]] = k
      top.choose(candidates, count, scores, byPopularity)
    },
  }
}

/** The learner's own logit, bias_j + u . Q_j; without a history u is 0 and the bias decides. Unlearnt items last. */
export function embeddingRanker(items: MemoryItemTable): Ranker {
  const column = new Column()
  const history = new History()
  const embedding = new Embedding()
  return {
    name: 'embedding',
    rank({ user, candidates, count, order }, top) {
      const { items: seen, length } = history.of(user)
      const asked = ask(items, seen, length)
      embedding.prepare(asked)
      const scores = column.of(count)
      for (let i = 0; i < count; i++) {
        const item = candidates[i]
        const known = items.hasVector(item)
        const bias = known ? items.bias[item] : Number.NEGATIVE_INFINITY
        scores[i] = embedding.present ? (embedding.logit(asked, item) ?? bias) : bias
      }
      top.choose(candidates, count, scores, order)
    },
  }
}

/** What the signals are asked with; nothing is retrieved, so that chance and number do not matter. */
export function ask(items: MemoryItemTable, history: Int32Array, length: number) {
  return {
    items,
    history,
    length,
    perSource: 0,
    countedUntil: items.countedUntil,
    cohort: undefined,
    random: () => 0,
  }
}
