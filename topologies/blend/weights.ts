/**
 * The blend's weights as the learner publishes them, and as every process ranks with them.
 *
 * Row of the store `blend` (one, empty key): layout u8, feature hash (string), positives learnt (uint), mean taste values
 * (3 float32), then per weight set `featureCount` float32: shared, and one a bucket. ~1.1 KB. Weights of other features than
 * this version's are passed over: the learner starts anew, and lists are ranked by the fixed mix until it has learnt enough.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { tastes } from './feature-rows.ts'
import { featureCount, featureHash } from './features.ts'
import { weightSets } from './newton.ts'

const layout = 1

export class BlendWeights {
  /** Positives that they were learnt from; 0: none are known. */
  learnt = 0
  /** Mean taste values of all positives. */
  readonly tasteMeans = new Float64Array(tastes)
  /** `weightSets` x `featureCount`. */
  readonly sets = new Float64Array(weightSets * featureCount)

  /** Shared weights plus those of the bucket. */
  of(bucket: number, into: Float64Array): void {
    const own = (1 + bucket) * featureCount
    for (let i = 0; i < featureCount; i++) into[i] = this.sets[i] + this.sets[own + i]
  }

  write(w: ByteWriter): void {
    w.u8(layout).string(featureHash).uint(this.learnt)
    for (let t = 0; t < tastes; t++) w.f32(this.tasteMeans[t])
    for (let i = 0; i < this.sets.length; i++) w.f32(this.sets[i])
  }

  /** Errors: CHANGELOG_NEWER for another layout; RangeError for a row that is cut. */
  read(r: ByteReader | null): void {
    this.learnt = 0
    if (r === null) return
    const found = r.u8()
    if (found !== layout)
      throw new FreshetError(
        'CHANGELOG_NEWER',
        `the row of the blend's weights has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
      )
    if (r.string() !== featureHash) return
    const learnt = r.uint()
    for (let t = 0; t < tastes; t++) this.tasteMeans[t] = r.f32()
    for (let i = 0; i < this.sets.length; i++) this.sets[i] = r.f32()
    this.learnt = learnt
  }
}
