/**
 * What figures are split by: the policy and model that made a list, the surface it stood on, the viewer's cohort, and the
 * arms of experiments. One object for each combination, kept by the request, so that an event costs no look-up.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

export interface Dims {
  /** '~none' where the events named none: '' stands for all in the tables. */
  readonly policy: string
  readonly model: string
  readonly surface: string
  readonly cohort: string
  /** `experiment=arm`, in order of their names. */
  readonly arms: readonly string[]
}

export interface NamedDims {
  readonly policy: string
  readonly model: string
  readonly surface: string
  readonly cohort: string
  readonly experiments: Readonly<Record<string, string>>
}

const none = '~none'
/** What is counted under when there are more combinations than are kept apart. */
export const otherDims: Dims = {
  policy: '~other',
  model: '~other',
  surface: '~other',
  cohort: '~other',
  arms: [],
}

/** Combinations held by a user task; beyond it the names are made anew, which costs time and nothing else. */
const mostHeld = 10_000
const noArms: readonly string[] = []

export class DimsTable<D extends Dims> {
  private readonly byKey = new Map<string, D>()
  private readonly make: (dims: Dims) => D

  constructor(make: (dims: Dims) => D) {
    this.make = make
  }

  of(named: NamedDims): D {
    return this.at({
      policy: named.policy || none,
      model: named.model || none,
      surface: named.surface || none,
      cohort: named.cohort || none,
      arms: armsOf(named.experiments),
    })
  }

  /** The one object of these names. */
  at(dims: Dims): D {
    const key = dimsKey(dims)
    const known = this.byKey.get(key)
    if (known) return known
    if (this.byKey.size >= mostHeld) this.byKey.clear()
    const made = this.make(dims)
    this.byKey.set(key, made)
    return made
  }
}

export function dimsKey({ policy, model, surface, cohort, arms }: Dims): string {
  const list = arms.length === 0 ? '' : arms.join('\u0001')
  return `${policy}\u0000${model}\u0000${surface}\u0000${cohort}\u0000${list}`
}

export function writeDims({ policy, model, surface, cohort, arms }: Dims, w: ByteWriter): void {
  w.string(policy).string(model).string(surface).string(cohort).uint(arms.length)
  for (const arm of arms) w.string(arm)
}

export function readDims(r: ByteReader): Dims {
  const policy = r.string()
  const model = r.string()
  const surface = r.string()
  const cohort = r.string()
  return {
    policy,
    model,
    surface,
    cohort,
    arms: Array.from({ length: r.uint() }, () => r.string()),
  }
}

function armsOf(experiments: Readonly<Record<string, string>>): readonly string[] {
  let arms: string[] | undefined
  for (const name in experiments) {
    arms ??= []
    arms.push(`${name}=${experiments[name]}`)
  }
  return arms ? arms.sort() : noArms
}
