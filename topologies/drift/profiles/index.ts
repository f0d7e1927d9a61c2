/** The figures of the well-known tools, from raw values, by the tool's name. */
import type { Figure } from '../figures.ts'
import type { Sample } from './sample.ts'

export const profileNames = ['evidently', 'nannyml', 'phoenix', 'frouros'] as const
export type ProfileName = (typeof profileNames)[number]

/**
 * What the tool says of `current` against `reference`, which must be of one kind. Missing values (NaN, infinite) are left
 * out, except where the tool counts them. A figure that cannot be told is null with a reason; the same statistics come
 * whatever the values are.
 */
export function profileFigures(profile: ProfileName, reference: Sample, current: Sample): Figure[] {
  return [
    {
      statistic: 'psi',
      value: null,
      threshold: null,
      reason: `${profile}: not computed yet: ${reference.values.length + current.values.length}`,
    },
  ]
}
