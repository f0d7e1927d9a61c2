/**
 * The experiments as a process knows them: what stands on the topic, and the built-in `exploration`. Followed while the
 * process runs, so a change acts when it is seen; what a user is dealt is a function of definition and user alone.
 */
import { assign, type Experiment } from '../../schemas/index.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import { type HoldoutOptions, isHoldout } from '../topk/exploration.ts'
import { builtIn, problemsOf } from './check.ts'
import { defaultMetrics } from './metrics.ts'
import { type Overrides, parseOverrides } from './overrides.ts'

export interface Definition {
  readonly name: string
  /** In order, with the part of the measured users that each should have. */
  readonly arms: readonly { readonly name: string; readonly share: number }[]
  readonly control: string
  /** Those that decide; never empty. */
  readonly metrics: readonly string[]
  readonly guardrails: Readonly<Record<string, number>>
  readonly start: number
  /** Infinity: until it is stopped. */
  readonly end: number
  /** The user's arm; null: in none. */
  armOf(userId: string): string | null
  /** Do figures count the user? Of a large arm beside a small one a part is enough. */
  measures(userId: string, arm: string): boolean
}

/** What a user's lists need to know. One object for all users of the same arms. */
export interface ListArms {
  /** `{"rank7":"b"}` */
  readonly text: string
  /** Behind a policy's name, of the arms that change something: `+rank7.b`; '' where none does. */
  readonly tag: string
  readonly overrides: Overrides | null
}

const noArms: ListArms = { text: '{}', tag: '', overrides: null }

/** Of `exploration`: all but its holdout. */
export const onArm = 'on'

/** Users of the arm `on` that are measured for each of the holdout: more would narrow intervals by a twentieth. */
const onPerHoldout = 9

export class ExperimentBook {
  /** Moves on with every change. */
  version = 0
  private readonly options: HoldoutOptions
  private readonly given = new Map<string, Experiment>()
  private readonly definitions = new Map<string, Definition>()
  /** By name: whoever goes through them does so in one order. */
  private sorted: readonly Definition[] = []
  private readonly combinations = new Map<string, ListArms>()

  constructor(options: HoldoutOptions) {
    this.options = options
    this.sort()
  }

  /** A record of the topic; null takes the experiment away. Gives what is wrong with it: then it is as if it were not there. */
  apply(name: string, experiment: Experiment | null): string[] {
    const problems = experiment === null ? [] : problemsOf(experiment)
    if (experiment !== null && experiment.experiment !== name)
      problems.push(`it is called ${experiment.experiment} and stands under the key ${name}`)
    if (experiment === null || problems.length > 0) {
      this.given.delete(name)
      this.definitions.delete(name)
    } else {
      this.given.set(name, experiment)
      this.definitions.set(name, definitionOf(experiment))
    }
    this.sort()
    return problems
  }

  private sort(): void {
    this.version++
    this.combinations.clear()
    const built = explorationOf(this.options)
    if (built) this.definitions.set(builtIn, built)
    this.sorted = [...this.definitions.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  get(name: string): Definition | undefined {
    return this.definitions.get(name)
  }

  all(): readonly Definition[] {
    return this.sorted
  }

  /** The definitions of the topic as they were put. */
  put(): ReadonlyMap<string, Experiment> {
    return this.given
  }

  /** The arms that the user's lists carry at `now` (ms). Who is held out of exploration is in no other experiment. */
  armsFor(userId: string, now: number): ListArms {
    const { sorted } = this
    if (sorted.length === 0) return noArms
    const isHeldOut = isHoldout(userId, this.options)
    let key = ''
    for (const definition of sorted) {
      if (now < definition.start || now >= definition.end) continue
      if (isHeldOut && definition.name !== builtIn) continue
      const arm = definition.armOf(userId)
      if (arm !== null) key += `${key === '' ? '' : ','}"${definition.name}":"${arm}"`
    }
    if (key === '') return noArms
    const known = this.combinations.get(key)
    if (known !== undefined) return known
    const made = this.combine(`{${key}}`)
    this.combinations.set(key, made)
    return made
  }

  private combine(text: string): ListArms {
    let tag = ''
    let texts: Record<string, string> = {}
    for (const [name, arm] of Object.entries(JSON.parse(text) as Record<string, string>)) {
      const overrides = this.given.get(name)?.arms.find(each => each.name === arm)?.overrides ?? {}
      if (Object.keys(overrides).length === 0) continue
      tag += `+${name}.${arm}`
      // two that change the same are refused when put; else the first by name has it
      texts = { ...overrides, ...texts }
    }
    return { text, tag, overrides: tag === '' ? null : parseOverrides(texts) }
  }
}

function definitionOf(experiment: Experiment): Definition {
  const { arms, control, metrics, guardrails, start, end } = experiment
  return {
    name: experiment.experiment,
    arms,
    control,
    metrics: metrics.length > 0 ? metrics : defaultMetrics,
    guardrails,
    start,
    end: end ?? Number.POSITIVE_INFINITY,
    armOf: userId => assign(experiment, userId),
    measures: () => true,
  }
}

/** On for all but the holdout. The holdout learns nothing and is drawn at high temperature: its control. */
function explorationOf(options: HoldoutOptions): Definition | undefined {
  const share = options['explore.holdout']
  if (share <= 0 || share >= 1) return undefined
  const measured = Math.min(1, (onPerHoldout * share) / (1 - share))
  return {
    name: builtIn,
    arms: [
      { name: onArm, share: measured * (1 - share) },
      { name: 'holdout', share },
    ],
    control: 'holdout',
    metrics: defaultMetrics,
    guardrails: {},
    start: 0,
    end: Number.POSITIVE_INFINITY,
    armOf: userId => (isHoldout(userId, options) ? 'holdout' : onArm),
    measures: (userId, arm) =>
      arm === 'holdout' ||
      hash53(`measured ${options['explore.salt']} ${userId}`) * 2 ** -53 < measured,
  }
}
