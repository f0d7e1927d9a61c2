/**
 * What an arm may change: options of a policy that is drawn list by list. What is shared by all users (retrieval's sources,
 * learning, withdrawal, how often lists are built, list sizes) cannot differ between two users of one process.
 */
import { topkOptions } from '../topk/options.ts'
import type { SurfacePolicy } from '../topk/surfaces.ts'

/** Options `topk.*` by the rule that they stand for. */
const ofRules = {
  'topk.policy': 'policy',
  'topk.temperature': 'temperature',
  'topk.epsilon': 'epsilon',
  'topk.samples': 'samples',
  'topk.rateWeight': 'rateWeight',
  'topk.mmr': 'mmr',
  'topk.mmrPositions': 'mmrPositions',
  'topk.creatorCap': 'creatorCap',
  'topk.topicRun': 'topicRun',
} as const

const others = ['topk.candidates', 'topk.fatigue'] as const

type Overridable = keyof typeof ofRules | (typeof others)[number]

/** What arms may change. `ranker` takes `blend` besides what the option says: a model against the blend. */
const overridable: readonly string[] = [...Object.keys(ofRules), ...others, 'ranker']

export interface Overrides {
  readonly values: Readonly<Partial<Record<Overridable, unknown>>>
  /** The blend ranks, whatever the option `ranker` says. */
  readonly blend: boolean
}

/** What is wrong with an override, as a sentence; '' where nothing is. @param ranker the option's value; undefined: not known here. */
export function refusedOverride(name: string, value: string, ranker?: string): string {
  if (name === 'ranker') {
    if (value === 'blend' || value === ranker) return ''
    if (ranker === undefined && value.startsWith('model:')) return ''
    return `ranker got ${JSON.stringify(value)}; an arm takes blend${ranker !== undefined && ranker !== 'blend' ? ` or ${ranker}` : ', or the model that the option ranker names'}: a worker holds one model`
  }
  if (!isOverridable(name))
    return `${name} can't differ between users; an arm may change ${overridable.join(', ')}`
  const { schema, takes } = topkOptions[name]
  return schema.safeParse(value).success
    ? ''
    : `${name} got ${JSON.stringify(value)}; it takes ${takes}`
}

/** Of texts that `refusedOverride` has nothing against. */
export function parseOverrides(given: Readonly<Record<string, string>>): Overrides {
  const values: Partial<Record<Overridable, unknown>> = {}
  for (const [name, value] of Object.entries(given))
    if (isOverridable(name)) values[name] = topkOptions[name].schema.parse(value)
  return { values, blend: given.ranker === 'blend' }
}

/** A surface's policy as the arm has it: what the arm says comes before the policy file. */
export function overriddenSurface(policy: SurfacePolicy, { values }: Overrides): SurfacePolicy {
  const rules: Record<string, unknown> = { ...policy.rules }
  for (const [name, rule] of Object.entries(ofRules)) {
    const value = values[name as keyof typeof ofRules]
    if (value !== undefined) rules[rule] = value
  }
  return {
    ...policy,
    rules: rules as unknown as SurfacePolicy['rules'],
    // one epsilon for all contexts
    epsilons: values['topk.epsilon'] === undefined ? policy.epsilons : [],
    candidates: (values['topk.candidates'] as number | undefined) ?? policy.candidates,
  }
}

function isOverridable(name: string): name is Overridable {
  return name in ofRules || (others as readonly string[]).includes(name)
}
