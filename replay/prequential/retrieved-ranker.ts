/**
 * The lists as they are made: the recommender's own sources name some hundred candidates, its filter refuses what may not be
 * listed, its scorer orders them. Against the blend, which orders all that the question allows, it shows what retrieval
 * loses. Nothing is drawn: no temperature, likeness, caps or exploration, which a log can't judge.
 *
 * A list is made when something of the user comes in. Here that is the question itself: a visit at its time, without an
 * event. Users without a history are asked for as the global list is, without a cohort.
 *
 * What the question excludes is taken out after retrieval, as in a list an item that the sources name and the filter
 * refuses: others do not come in its place.
 */
import { BlendScorer } from '../../topologies/blend/scorer.ts'
import type { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import { recommendersOf } from '../../topologies/topk/recommend.ts'
import {
  type CandidateSource,
  candidateSources,
} from '../../topologies/topk/retrieve/candidates.ts'
import type { Scorer } from '../../topologies/topk/score.ts'
import type { User } from '../../topologies/user/user.ts'
import type { Ranker } from './rankers.ts'

export interface RetrievedRanker extends Ranker {
  /** Of the last question: the source that named the item first; undefined where it was no candidate. */
  sourceOf(item: number): CandidateSource | undefined
  /** Of the last question. */
  readonly count: number
}

export function retrievedRanker(items: MemoryItemTable, options: TopologyOptions): RetrievedRanker {
  let logits: Float64Array = new Float64Array(0)
  const listening = (capacity: number): Scorer => {
    const scorer = new BlendScorer(capacity)
    return {
      get name() {
        return scorer.name
      },
      model: scorer.model,
      score(evidence, into) {
        scorer.score(evidence, into)
        logits = into
      },
    }
  }
  // surfaces that ask for other candidates have a recommender of their own: the first one's lists are judged
  const [recommender] = recommendersOf(options, items, listening)
  const { candidates } = recommender
  const kept = new Int32Array(candidates.capacity)
  const scores = new Float64Array(candidates.capacity)
  const sources = new Map<number, CandidateSource>()
  return {
    name: 'retrieved',
    rank(question, top) {
      const { user, at, number } = question
      recommender.prepare(user ? visiting(user, at) : null, at, `prequential ${number}`)
      sources.clear()
      let count = 0
      for (let i = 0; i < candidates.count; i++) {
        const item = candidates.items[i]
        if (!question.isCandidate(item)) continue
        sources.set(item, candidateSources[candidates.source[i]])
        kept[count] = item
        scores[count++] = logits[i]
      }
      top.choose(kept, count, scores, question.order)
    },
    sourceOf: item => sources.get(item),
    get count() {
      return sources.size
    },
  }
}

/** The user as known, seen at `at`. */
const visiting = (user: User, at: number): User =>
  Object.create(user, { lastSeenAt: { value: at } }) as User

/** What retrieval named, summed over predictions of one part. */
export class Recalled {
  predictions = 0
  candidates = 0
  /** Targets by the source that named them first. */
  readonly bySource = new Map<CandidateSource, number>()
  /** Predictions whose target the blend puts among its ten and retrieval did not name. */
  lost = 0

  add(ranker: RetrievedRanker, target: number, isInTen: boolean): void {
    this.predictions++
    this.candidates += ranker.count
    const source = ranker.sourceOf(target)
    if (source !== undefined) this.bySource.set(source, (this.bySource.get(source) ?? 0) + 1)
    else if (isInTen) this.lost++
  }

  get report(): RecalledReport {
    const { predictions: n } = this
    const share = (count: number): number => (n > 0 ? count / n : 0)
    const entries = candidateSources
      .filter(source => source !== 'knn' && source !== 'other')
      .map(source => [source, share(this.bySource.get(source) ?? 0)] as const)
    return {
      n,
      candidates: share(this.candidates),
      recall: share([...this.bySource.values()].reduce((sum, count) => sum + count, 0)),
      bySource: Object.fromEntries(entries),
      lost: share(this.lost),
    }
  }
}

export interface RecalledReport {
  readonly n: number
  /** Candidates a list, on average. */
  readonly candidates: number
  /** Share of the targets among the candidates, and by the source that named them first. */
  readonly recall: number
  readonly bySource: Readonly<Record<string, number>>
  /** Share of predictions that the blend has among its ten and that were no candidates. */
  readonly lost: number
}
