/**
 * What each surface does, put together: what the policy file says of it, else its profile, else the options `topk.*`.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { OptionValues } from '../../streams/options.ts'
import type { topkOptions } from './options.ts'
import type { PolicyFile, SurfaceGiven } from './policy-file.ts'
import type { SlateRules } from './rules.ts'

export type TopkOptions = OptionValues<typeof topkOptions>

export interface SurfacePolicy {
  readonly name: string
  /** Place among the surfaces of the options. */
  readonly number: number
  /** Without exploration's part: see `variants.ts`. */
  readonly rules: SlateRules
  /** May lists hold items of safety `restricted`? */
  readonly restricted: boolean
  /** FRESH are items published less than this ago; 0: nothing asks. */
  readonly youngerThanMs: number
  /** Dealt to contexts; empty: `rules.epsilon` for all. */
  readonly epsilons: readonly number[]
  /** Explored positions a list, and shown to a user a day; Infinity: no budget. */
  readonly explorePerList: number
  readonly explorePerDay: number
  /** Candidates a source. */
  readonly candidates: number
  /** What retrieval and scores know of the user: all positives, or those of the session. */
  readonly history: 'all' | 'session'
  readonly minIntervalMs: number
}

/**
 * Short clips, swiped one by one: what was watched in this session is all that counts, lists are short and renewed at once,
 * and no creator comes twice in a row of them.
 */
const shortForm: SurfaceGiven = {
  size: 20,
  candidates: 20,
  minInterval: 200,
  history: 'session',
  creatorCap: 2,
  topicRun: 2,
}

/** Every surface of `topk.surfaces`, in its order. Errors: OPTION_INVALID for a surface of the file that is not among them. */
export function surfacePolicies(options: TopkOptions): readonly SurfacePolicy[] {
  const file = options['topk.policies']
  const names = options['topk.surfaces']
  for (const name of Object.keys(file.surfaces))
    if (!names.includes(name))
      throw new FreshetError(
        'OPTION_INVALID',
        `option topk.policies: surfaces.${name} is no surface that lists are made for; topk.surfaces has ${names.join(', ')}`,
      )
  return names.map((name, number) => surfacePolicy(name, number, options, file))
}

function surfacePolicy(
  name: string,
  number: number,
  options: TopkOptions,
  file: PolicyFile,
): SurfacePolicy {
  const own = file.surfaces[name] ?? {}
  const given = { ...(own.profile === 'short-form' ? shortForm : {}), ...own }
  const marks = new Map(file.groups.map((group, k) => [group.name, 1 << k]))
  const markOf = (group: string) => marks.get(group) ?? 0
  return {
    name,
    number,
    rules: {
      size: given.size ?? options['topk.size'],
      policy: given.policy ?? options['topk.policy'],
      temperature: given.temperature ?? options['topk.temperature'],
      epsilon: given.epsilon ?? options['topk.epsilon'],
      mmr: given.mmr ?? options['topk.mmr'],
      mmrPositions: given.mmrPositions ?? options['topk.mmrPositions'],
      creatorCap: given.creatorCap ?? options['topk.creatorCap'],
      topicRun: given.topicRun ?? options['topk.topicRun'],
      caps: (given.caps ?? []).map(({ group, most }) => ({ mark: markOf(group), most })),
      floors: (given.floors ?? []).map(({ group, share, after }) => ({
        mark: markOf(group),
        share,
        after,
      })),
      fresh: given.fresh ?? null,
      exploreMost: Number.POSITIVE_INFINITY,
      samples: given.samples ?? options['topk.samples'],
      rateWeight: given.rateWeight ?? options['topk.rateWeight'],
    },
    restricted: given.restricted ?? options['topk.restricted'].includes(name),
    youngerThanMs: given.fresh?.youngerThan ?? 0,
    epsilons: given.epsilons ?? [],
    explorePerList: given.explore?.perList ?? Number.POSITIVE_INFINITY,
    explorePerDay: given.explore?.perDay ?? Number.POSITIVE_INFINITY,
    candidates: given.candidates ?? options['topk.candidates'],
    history: given.history ?? 'all',
    minIntervalMs: given.minInterval ?? options['topk.minInterval'],
  }
}

/** Surfaces that can be drawn from the same candidates: as many of each source, by the same history. */
export function byCandidates(surfaces: readonly SurfacePolicy[]): SurfacePolicy[][] {
  const groups = new Map<string, SurfacePolicy[]>()
  for (const surface of surfaces) {
    const alike = `${surface.candidates} ${surface.history}`
    groups.set(alike, [...(groups.get(alike) ?? []), surface])
  }
  return [...groups.values()]
}
