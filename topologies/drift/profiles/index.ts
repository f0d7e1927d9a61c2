/** The figures of the well-known tools, from raw values, by the tool's name. */
import type { Figure } from '../figures.ts'
import { evidentlyCategories, evidentlyNumbers } from './evidently.ts'
import { frourosCategories, frourosNumbers } from './frouros.ts'
import { nannymlCategories, nannymlNumbers } from './nannyml.ts'
import { phoenixCategories, phoenixNumbers } from './phoenix.ts'
import { present, type Sample } from './sample.ts'

export const profileNames = ['evidently', 'nannyml', 'phoenix', 'frouros'] as const
export type ProfileName = (typeof profileNames)[number]

type Numbers = (reference: Float64Array, current: Float64Array) => Figure[]
type Categories = (reference: readonly string[], current: readonly string[]) => Figure[]

const withoutMissing =
  (figures: Numbers): Numbers =>
  (reference, current) =>
    figures(present(reference), present(current))

const profiles: Readonly<Record<ProfileName, { numbers: Numbers; categories: Categories }>> = {
  evidently: { numbers: withoutMissing(evidentlyNumbers), categories: evidentlyCategories },
  nannyml: { numbers: nannymlNumbers, categories: nannymlCategories },
  phoenix: { numbers: phoenixNumbers, categories: phoenixCategories },
  frouros: { numbers: withoutMissing(frourosNumbers), categories: frourosCategories },
}

/**
 * What the tool says of `current` against `reference`. Missing values (NaN, infinite) are left out, except where the tool
 * counts them. A figure that cannot be told is null with a reason; a kind of values always has the same statistics. Throws
 * where the sides are of two kinds.
 */
export function profileFigures(profile: ProfileName, reference: Sample, current: Sample): Figure[] {
  const { numbers, categories } = profiles[profile]
  if (reference.kind === 'numbers' && current.kind === 'numbers')
    return numbers(reference.values, current.values)
  if (reference.kind === 'categories' && current.kind === 'categories')
    return categories(reference.values, current.values)
  throw new TypeError(`a sample of ${current.kind} against a reference of ${reference.kind}`)
}
