/**
 * Learns the blend's weights from positives, in the learner's task: each first positive of a user on a known item against
 * uniform negatives, with the features as the item table gives them at that moment.
 *
 * The table must not yet count the positive itself, or the blend would learn that what is liked has just been liked. Its rows
 * go out with the next commits of the item tasks, a second later; the positive comes at once.
 *
 * What is learnt is soft. Weights are published with the vectors; the curvature, which a restart goes on with, once a minute,
 * and both with the last commit of an owner that ends in good order.
 */

import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { ItemTable } from '../items/table.ts'
import { learnerStores } from '../learner/rows.ts'
import { Content } from '../topk/retrieve/content.ts'
import { Covisit } from '../topk/retrieve/covisit.ts'
import { Embedding } from '../topk/retrieve/embedding.ts'
import { FeatureRows, tastes } from './feature-rows.ts'
import { featureCount, featureHash } from './features.ts'
import { ChoiceModel } from './newton.ts'
import { BlendWeights } from './weights.ts'

/** Uniform ones: learning from the hardest instead costs 7% of recall. */
const negatives = 200
/**
 * Of them, those that nobody liked yet. They stand for no more than themselves: a catalog may hold mostly such, but few of
 * them are ever candidates of a list, and one tells what all tell.
 */
const neverLiked = 8
/** Draws that meet the target, the user's own, unlisted items or too many of a sort are made again so often in all. */
const mostDraws = 10 * negatives
/** As lists ask by default. */
const perSource = 30
const meanRate = 0.001
const stateEveryMs = 60_000
const stateLayout = 1

export class BlendLearner {
  readonly stores: readonly Store[]
  private readonly items: ItemTable
  private readonly model = new ChoiceModel(1 + negatives)
  private readonly weights = new BlendWeights()
  private readonly rows = new FeatureRows()
  private readonly sources = {
    covisit: new Covisit(),
    embedding: new Embedding(),
    content: new Content(),
  }
  private readonly x = new Float64Array((1 + negatives) * featureCount)
  private readonly offsets = new Float64Array(1 + negatives)
  /** Items of the rows. */
  private readonly drawn = new Int32Array(1 + negatives)
  /** Negatives still wanted: of those that nobody liked yet, of the others. */
  private readonly left = [0, 0]
  private readonly taste = new Float64Array(tastes)
  /** Stamp of the positive that an item was last in the way of, by item. */
  private barred = new Int32Array(1024)
  private stamp = 0
  private readonly published: Row = { dirty: false, removed: false }
  private readonly state: Row = { dirty: false, removed: false }
  private changed = false

  constructor(items: ItemTable, publishIntervalMs: number) {
    this.items = items
    const row = (
      id: number,
      name: string,
      everyMs: number,
      writeValue: (w: ByteWriter) => void,
      restore: (r: ByteReader | null) => void,
    ): Store =>
      new Store<Row>({
        id,
        name,
        write: { everyMs },
        writeKey: () => {},
        writeValue: (_row, w) => writeValue(w),
        restore: (_key, value) => restore(value),
      })
    this.stores = [
      row(
        learnerStores.blend,
        'blend',
        publishIntervalMs,
        w => this.writeWeights(w),
        r => this.weights.read(r),
      ),
      row(
        learnerStores.blendState,
        'blend-state',
        stateEveryMs,
        w => this.writeState(w),
        r => this.readState(r),
      ),
    ]
  }

  get refused(): number {
    return this.model.refused
  }

  /** Times that a set of weights lost its curvature since it was not positive. */
  get renewed(): number {
    return this.model.renewed
  }

  /**
   * One positive on `target` at event time `ts` by a user in `bucket`, after `history` (newest first, `length` used). `now`:
   * processing time, ms. Returns the loss before the step; NaN where nothing was learnt.
   */
  learn(
    target: number,
    history: Int32Array,
    length: number,
    bucket: number,
    ts: number,
    now: number,
    random: () => number,
  ): number {
    const { items, rows, sources, x } = this
    if (items.positives(target) === 0) return Number.NaN
    const viewed = {
      items,
      history,
      length,
      perSource,
      countedUntil: Math.max(items.countedUntil, ts),
    }
    sources.covisit.accumulate(viewed)
    sources.embedding.prepare(viewed)
    sources.content.prepare(viewed)
    rows.begin(viewed, sources, this.weights.tasteMeans)
    rows.write(target, x, 0)
    this.bar(target, history, length)
    const n = this.draw(now, random)
    if (n === 1) return Number.NaN
    const loss = this.model.learn(x, n, bucket, this.offsets)
    rows.tasteOf(target, this.taste)
    this.weights.learnt++
    const rate = Math.max(meanRate, 1 / this.weights.learnt)
    for (let t = 0; t < tastes; t++)
      this.weights.tasteMeans[t] += rate * (this.taste[t] - this.weights.tasteMeans[t])
    this.changed = true
    return loss
  }

  /** Once a commit. */
  flush(): void {
    if (!this.changed) return
    this.changed = false
    this.stores[0].touch(this.published)
    this.stores[1].touch(this.state)
  }

  /** Writes the negatives' rows behind the target's, and what each stands for; returns how many rows there are. */
  private draw(now: number, random: () => number): number {
    const { items, rows, x, offsets, left, drawn } = this
    left[0] = neverLiked
    left[1] = negatives - neverLiked
    let n = 1
    for (let draw = 0; draw < mostDraws && n <= negatives; draw++) {
      const item = Math.floor(random() * items.size)
      const sort = items.positives(item) > 0 ? 1 : 0
      if (left[sort] === 0 || this.barred[item] === this.stamp || !items.listable(item, now))
        continue
      left[sort]--
      drawn[n] = item
      offsets[n++] = sort
    }
    rows.expect(drawn, 1, n)
    for (let s = 1; s < n; s++) rows.write(drawn[s], x, s * featureCount)
    const liked = negatives - neverLiked - left[1]
    const each = Math.log(Math.max(1, (items.counted.items - 1) / Math.max(1, liked)))
    for (let s = 1; s < n; s++) offsets[s] *= each
    return n
  }

  private bar(target: number, history: Int32Array, length: number): void {
    if (this.items.size > this.barred.length)
      this.barred = new Int32Array(Math.max(this.items.size, this.barred.length * 2))
    this.stamp++
    this.barred[target] = this.stamp
    for (let k = 0; k < length; k++) this.barred[history[k]] = this.stamp
  }

  private writeWeights(w: ByteWriter): void {
    this.weights.sets.set(this.model.means)
    this.weights.write(w)
  }

  private writeState(w: ByteWriter): void {
    const { weights, means, steps, curvature } = this.model
    w.u8(stateLayout).string(featureHash).uint(this.weights.learnt)
    for (const values of [this.weights.tasteMeans, weights, means, steps, curvature])
      for (let i = 0; i < values.length; i++) w.f32(values[i])
  }

  /** Another registry's state is not gone on with. */
  private readState(r: ByteReader | null): void {
    if (r === null) return
    const found = r.u8()
    if (found !== stateLayout)
      throw new FreshetError(
        'CHANGELOG_NEWER',
        `the row of the blend's state has layout ${found}, this version reads ${stateLayout}: run the version that wrote it or newer`,
      )
    if (r.string() !== featureHash) return
    this.weights.learnt = r.uint()
    const { weights, means, steps, curvature } = this.model
    for (const values of [this.weights.tasteMeans, weights, means, steps, curvature])
      for (let i = 0; i < values.length; i++) values[i] = r.f32()
    this.model.restored()
  }
}
