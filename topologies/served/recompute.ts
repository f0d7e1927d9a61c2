/**
 * The features of an item for a user as they are now, by the code that ranks lists: for impressions of lists that were drawn
 * elsewhere. Reads what the user's tasks and the item table know before the impression counts; it moves no feature but by its time.
 */
import { FeatureRows } from '../blend/feature-rows.ts'
import { featureCount } from '../blend/features.ts'
import type { ItemTable } from '../items/table.ts'
import { Content } from '../topk/retrieve/content.ts'
import { Covisit, covisitWindow } from '../topk/retrieve/covisit.ts'
import { Embedding } from '../topk/retrieve/embedding.ts'
import { type SurfacePolicy, surfacePolicies, type TopkOptions } from '../topk/surfaces.ts'
import type { ImpressionEvent } from '../user/event.ts'
import type { User } from '../user/user.ts'
import { packRows } from './packed-rows.ts'

export class Recompute {
  private readonly items: ItemTable
  private readonly surfaces: ReadonlyMap<string, SurfacePolicy>
  private readonly fallback: SurfacePolicy
  private readonly rows = new FeatureRows()
  private readonly sources = {
    covisit: new Covisit(),
    embedding: new Embedding(),
    content: new Content(),
  }
  private readonly history = new Int32Array(covisitWindow)
  private readonly matrix = new Float32Array(featureCount)

  constructor(items: ItemTable, options: TopkOptions) {
    this.items = items
    const policies = surfacePolicies(options)
    this.surfaces = new Map(policies.map(policy => [policy.name, policy]))
    this.fallback = policies[0]
  }

  /** One packed row (packed-rows.ts); undefined where nothing of the user may be used. */
  row({ user, item, event, ts }: ImpressionEvent): Uint32Array | undefined {
    if (user === null) return undefined
    const { history: past, candidates } = this.surfaces.get(event.surface) ?? this.fallback
    const { items, history, sources, matrix } = this
    const viewed = {
      items,
      history,
      length: this.readHistory(user, past === 'session' ? user.session.startedAt : 0),
      perSource: candidates,
      countedUntil: Math.max(items.countedUntil, ts),
    }
    sources.covisit.accumulate(viewed)
    sources.embedding.prepare(viewed)
    sources.content.prepare(viewed)
    this.rows.begin(viewed, sources, items.blend.tasteMeans)
    this.rows.write(item, matrix, 0)
    return packRows({ count: 1, item: () => item, row: () => 0 }, matrix)
  }

  private readHistory({ positives }: User, from: number): number {
    const most = Math.min(positives.length, covisitWindow)
    let length = 0
    for (; length < most && positives.at(length) >= from; length++)
      this.history[length] = positives.item(length)
    return length
  }
}
