/** What lists are ranked by, over all candidates instead of those that were retrieved. */
import { BlendScorer } from '../../topologies/blend/scorer.ts'
import type { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { bucketOf } from '../../topologies/learner/positive.ts'
import { Filter } from '../../topologies/topk/filter.ts'
import { Candidates, candidateSources } from '../../topologies/topk/retrieve/candidates.ts'
import { Content } from '../../topologies/topk/retrieve/content.ts'
import { Covisit } from '../../topologies/topk/retrieve/covisit.ts'
import { Embedding } from '../../topologies/topk/retrieve/embedding.ts'
import { ask, Column, History, type Ranker } from './rankers.ts'

const other = candidateSources.indexOf('other')

export function blendRanker(items: MemoryItemTable): Ranker {
  const column = new Column()
  const history = new History()
  const covisit = new Covisit()
  const embedding = new Embedding()
  const content = new Content()
  const filter = new Filter(items, false)
  let candidates = new Candidates(0)
  let scorer = new BlendScorer(0)
  return {
    name: 'blend',
    rank(question, top) {
      const { user, at, count } = question
      if (count > candidates.capacity) {
        candidates = new Candidates(2 * count)
        scorer = new BlendScorer(2 * count)
      }
      const { items: seen, length } = history.of(user)
      const asked = { ...ask(items, seen, length), countedUntil: Math.max(items.countedUntil, at) }
      filter.begin(user ?? null, at)
      // what may be listed is the question's to say, so no source is asked and nothing is refused
      candidates.items.set(question.candidates.subarray(0, count))
      candidates.source.fill(other, 0, count)
      candidates.count = count
      covisit.accumulate(asked)
      embedding.prepare(asked)
      content.prepare(asked)
      const logits = column.of(count)
      const n = user?.positives.length ?? 0
      const bucket = bucketOf(n, n > 0 ? at - user!.positives.at(0) : 0)
      scorer.score({ ask: asked, candidates, covisit, embedding, content, filter, bucket }, logits)
      top.choose(question.candidates, count, logits, question.order)
    },
  }
}
