/**
 * Begins the state of a whole application anew: the next generation, never a part of one (C4). What depends on what:
 * nobody works; the new generation stands in the journal; only then the topics of the old ones go. So whenever this ends,
 * workers either find the old state whole or none, and what was left over is removed by the next reset.
 */
import { FreshetError } from '../errors.ts'
import type { Transport } from '../transport/port.ts'
import { Generations, LOOKED_FOR } from './generations.ts'
import type { Generation } from './journal-records.ts'
import { type TopicNames, topicNames } from './names.ts'

export interface ResetSettings {
  readonly transport: Transport
  /** Any generation's names: only the prefix counts. */
  readonly names: TopicNames
  /** Whose the new generation is. */
  readonly application: string
  /** All kinds of tasks that there are, whichever run. */
  readonly kinds: readonly string[]
  readonly wall: () => number
}

export interface ResetPlan {
  /** In force now; undefined where the journal is empty. */
  readonly from: Generation | undefined
  readonly to: number
  /** freshet's own topics of all generations up to now, and those of state elsewhere that one went on with. */
  readonly topics: readonly string[]
}

export class Reset {
  private readonly settings: ResetSettings
  private readonly generations: Generations

  constructor(settings: ResetSettings) {
    this.settings = settings
    this.generations = new Generations(settings)
  }

  /** What it would do; undefined where there is no state. Errors: WORKERS_RUNNING. */
  async plan(): Promise<ResetPlan | undefined> {
    const { names, kinds, transport } = this.settings
    const { current, kinds: had, elsewhere } = await this.generations.read()
    await this.refuseWorkers(current)
    const allKinds = new Set([...kinds, ...[...had.values()].flatMap(known => [...known])])
    const places = new Map<string, number>()
    for (let g = Math.max(LOOKED_FOR, (current?.generation ?? 0) + 1); g > 0; g--)
      for (const kind of allKinds) {
        const own = topicNames(names.outside(''), g)
        places.set(own.changelog(kind), g).set(own.deltas(kind), g)
      }
    // numbers under another prefix say nothing of this one's
    for (const state of elsewhere)
      for (const kind of allKinds) {
        const kept = topicNames(names.outside(''), state)
        places.set(kept.changelog(kind), 0).set(kept.deltas(kind), 0)
      }
    const found = await transport.topics.describe([...places.keys()])
    const topics = [...places.keys()].filter(topic => found.has(topic)).sort()
    if (current === undefined && topics.length === 0) return undefined
    const highest = Math.max(
      current?.generation ?? 0,
      ...topics.map(topic => places.get(topic) ?? 0),
    )
    return { from: current, to: highest + 1, topics }
  }

  /** Errors: APPLICATION_OTHER where another reset was quicker; WORKERS_RUNNING where workers began meanwhile. */
  async perform(plan: ResetPlan): Promise<void> {
    await this.refuseWorkers(plan.from)
    await this.generations.raise(plan.from, this.settings.application, plan.to)
    // a worker of the old generation may have begun since the last look; from here on none can
    await this.refuseWorkers(plan.from, `generation ${plan.to} has begun, the old topics stay: `)
    await this.settings.transport.topics.remove(plan.topics)
  }

  private async refuseWorkers(current: Generation | undefined, done = ''): Promise<void> {
    const { transport, application } = this.settings
    for (const group of new Set([current?.application ?? application, application])) {
      const members = (await transport.members?.(group)) ?? []
      if (members.length > 0)
        throw new FreshetError(
          'WORKERS_RUNNING',
          `${done}group ${group} has ${members.length} members: ${members.slice(0, 5).join(', ')}; stop all workers (one that was killed is forgotten after kafka.sessionTimeout), then call it again`,
        )
    }
  }
}
