/**
 * The combinations of dims that a statistic task keeps apart. Bounded: beyond `mostBases` that are in use, and beyond
 * `mostCohorts` cohorts, what comes counts as `~other`.
 */
import type { Row } from '../../streams/topology/store.ts'
import { type Dims, dimsKey, otherDims } from './dims.ts'

const mostBases = 400
const mostCohorts = 16

export class Base implements Row, Dims {
  dirty = false
  removed = false
  readonly number: number
  readonly policy: string
  readonly model: string
  readonly surface: string
  readonly cohort: string
  readonly arms: readonly string[]
  /** Parts of windows that are held for it, and bases whose exposures are counted under it. */
  holds = 0
  /** The first base of the same policy, arms and surface: exposures are counted under it. */
  readonly shownUnder: Base

  constructor(number: number, dims: Dims, shownUnder: Base | undefined) {
    this.number = number
    this.policy = dims.policy
    this.model = dims.model
    this.surface = dims.surface
    this.cohort = dims.cohort
    this.arms = dims.arms
    this.shownUnder = shownUnder ?? this
  }
}

const other = dimsKey(otherDims)
const shownKey = (dims: Dims): string => dimsKey({ ...dims, model: '', cohort: '' })

export class Bases {
  private readonly byKey = new Map<string, Base>()
  private readonly byNumber = new Map<number, Base>()
  private readonly byShown = new Map<string, Base>()
  private readonly cohorts = new Map<string, number>()
  private next = 1

  /** The base of these dims, made at first sight; `made` is told of it. */
  of(dims: Dims, made: (base: Base) => void): Base {
    const known = this.byKey.get(dimsKey(dims))
    if (known) return known
    const hasRoom = this.cohorts.has(dims.cohort) || this.cohorts.size < mostCohorts
    const kept = hasRoom ? dims : { ...dims, cohort: otherDims.cohort }
    const key = dimsKey(kept)
    const same = this.byKey.get(key)
    if (same) return same
    const isFull = key !== other && this.byKey.size >= mostBases
    if (isFull) return this.of(otherDims, made)
    const base = this.put(this.next, kept)
    made(base)
    return base
  }

  /** At restore. */
  put(number: number, dims: Dims): Base {
    const known = this.byNumber.get(number)
    if (known) return known
    const shown = shownKey(dims)
    const base = new Base(number, dims, this.byShown.get(shown))
    if (base.shownUnder === base) this.byShown.set(shown, base)
    else base.shownUnder.holds++
    this.byKey.set(dimsKey(dims), base)
    this.byNumber.set(number, base)
    this.cohorts.set(dims.cohort, (this.cohorts.get(dims.cohort) ?? 0) + 1)
    this.next = Math.max(this.next, number + 1)
    return base
  }

  at(number: number): Base | undefined {
    return this.byNumber.get(number)
  }

  /** Takes out a base that nothing is held for. */
  delete(base: Base): void {
    this.byKey.delete(dimsKey(base))
    this.byNumber.delete(base.number)
    if (base.shownUnder === base) this.byShown.delete(shownKey(base))
    else base.shownUnder.holds--
    const left = (this.cohorts.get(base.cohort) ?? 1) - 1
    if (left > 0) this.cohorts.set(base.cohort, left)
    else this.cohorts.delete(base.cohort)
  }

  *unused(): IterableIterator<Base> {
    for (const base of this.byKey.values()) if (base.holds === 0) yield base
  }
}
