/**
 * What feedback on an item says of its creator, as a factor of the weight of all of the creator's items: like, save, share
 * and follow raise it, hide, dislike and report lower it (and take the item itself out: `excludes`).
 */
const kinds = ['like', 'save', 'share', 'follow', 'hide', 'dislike', 'report'] as const
type Kind = (typeof kinds)[number]

export interface CreatorWeights {
  /** By number of the approval as it stands on the log: like, save, share, follow. */
  readonly byApproval: readonly number[]
  /** By reason of an exclusion: finished, hidden, disliked, reported. */
  readonly byExclusion: readonly number[]
}

/** Whatever was said of a creator, its items are not lost, and do not fill the list either. */
export const LEAST_WEIGHT = 0.01
export const MOST_WEIGHT = 4

export const factorsTakes = `factors from .01 to 10 such as like=1.1,hide=.7, of ${kinds.join(', ')}`
export const defaultFactors = 'like=1.1,save=1.2,share=1.3,follow=2,hide=.7,dislike=.5,report=.2'

/** `kind=factor,...`; a kind that is not named changes nothing. */
export function parseCreatorWeights(text: string): CreatorWeights {
  const factors = factorsOf(text)
  const of = (kind: Kind) => factors?.get(kind) ?? 1
  return {
    byApproval: [of('like'), of('save'), of('share'), of('follow')],
    byExclusion: [1, of('hide'), of('dislike'), of('report')],
  }
}

export function isCreatorWeights(text: string): boolean {
  return factorsOf(text) !== undefined
}

function factorsOf(text: string): ReadonlyMap<Kind, number> | undefined {
  const factors = new Map<Kind, number>()
  for (const pair of text.split(',').filter(part => part.trim() !== '')) {
    const [name, value] = pair.split('=').map(part => part.trim())
    const kind = kinds.find(each => each === name)
    const factor = value === '' ? Number.NaN : Number(value)
    if (kind === undefined || !(factor >= 0.01 && factor <= 10)) return undefined
    factors.set(kind, factor)
  }
  return factors
}

/** The number of an approval; -1: the kind is none. */
export function approvalOf(kind: string): number {
  return kind === 'like'
    ? 0
    : kind === 'save'
      ? 1
      : kind === 'share'
        ? 2
        : kind === 'follow'
          ? 3
          : -1
}
