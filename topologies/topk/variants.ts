/**
 * The policies that a surface draws by. Its rules are one; exploration makes a few of them, each known by its name:
 * `<ranker>-<how>[-b<left>]@<version of the policy file>`, how =
 *
 *  - `pl`: plackett-luce; `greedy`: at temperature 0, p = 1
 *  - `eps.05`: epsilon-greedy, with the epsilon that the user's context has
 *  - `ts32`: thompson, with 32 samples; p is an estimate with as many re-draws (thompson.ts)
 *  - `holdout`: plackett-luce at the holdout's temperature, for users who train nobody
 *
 * and `-b2`: at most two more explored positions, by the budget of the list and of the user's day. Behind the version: the arms of
 * experiments that change the policy, `+rank7.b`; its rules are then the arm's (experiments/overrides.ts), not the surface's.
 */
import type { SlateRules } from './rules.ts'
import { SlateDrawer } from './slate.ts'
import type { SurfacePolicy } from './surfaces.ts'

export interface Variant {
  readonly name: string
  readonly rules: SlateRules
  readonly drawer: SlateDrawer
}

export class Variants {
  private readonly surface: SurfacePolicy
  private readonly settings: VariantSettings
  private readonly known = new Map<number, Variant>()
  /** Whose variants are known. */
  private ranker = ''

  constructor(surface: SurfacePolicy, settings: VariantSettings) {
    this.surface = surface
    this.settings = settings
  }

  holdout(): Variant {
    return this.made(-1, () => {
      const { rules } = this.surface
      const temperature = this.settings.holdoutTemperature
      return this.variant('holdout', { ...rules, policy: 'plackett-luce', temperature })
    })
  }

  /** `bucket`: which of the surface's epsilons; `left`: of the budget for explored positions, Infinity for none. */
  of(bucket: number, left: number): Variant {
    const { rules, epsilons } = this.surface
    const most = left >= rules.size ? Number.POSITIVE_INFINITY : left
    return this.made(bucket * 256 + Math.min(most, 255), () => {
      const epsilon = epsilons[bucket] ?? rules.epsilon
      const budget = most === Number.POSITIVE_INFINITY ? '' : `-b${most}`
      const own: SlateRules = { ...rules, epsilon, exploreMost: most }
      return this.variant(`${drawName(own)}${budget}`, own)
    })
  }

  private made(key: number, make: () => Variant): Variant {
    const ranker = this.settings.ranker()
    if (ranker !== this.ranker) this.known.clear()
    this.ranker = ranker
    const known = this.known.get(key)
    if (known !== undefined) return known
    const variant = make()
    this.known.set(key, variant)
    return variant
  }

  private variant(how: string, rules: SlateRules): Variant {
    const { ranker, version, capacity } = this.settings
    return {
      name: `${ranker()}-${how}@${version}`,
      rules,
      drawer: new SlateDrawer(rules, capacity),
    }
  }
}

export interface VariantSettings {
  /** Its name as of now: another one may take over. */
  readonly ranker: () => string
  readonly version: string
  readonly capacity: number
  readonly holdoutTemperature: number
}

function drawName({ policy, epsilon, samples, temperature }: SlateRules): string {
  if (policy === 'epsilon') return `eps${String(epsilon).replace(/^0\./, '.')}`
  if (policy === 'thompson') return `ts${samples}`
  return temperature > 0 ? 'pl' : 'greedy'
}

/** The budget that a policy's name tells of; Infinity for none. */
export function exploreMostOf(policy: string): number {
  const budget = /-b(\d+)@/.exec(policy)
  return budget ? Number(budget[1]) : Number.POSITIVE_INFINITY
}

/** Of arms that changed the policy, as its name tells: `+rank7.b`; '' for none. */
export function armsOf(policy: string): string {
  return /@[^+]*(\+.+)$/.exec(policy)?.[1] ?? ''
}

/** The epsilon that a policy's name tells of; undefined for none. */
export function epsilonOf(policy: string): number | undefined {
  const epsilon = /-eps([\d.e-]+?)(-b\d+)?@/.exec(policy)
  return epsilon ? Number(epsilon[1]) : undefined
}
