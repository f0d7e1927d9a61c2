/**
 * In the global task, after the popularity stage: lists for who is logged out or new, by cohort and for all, 16 independent
 * draws each. From popularity (the cohort's own and everyone's) and exploration, without a user.
 *
 *  - G1 once a second what changed is looked for, and built in slices; what did not is written again at half its life. A
 *       cohort's lists are built every `cohortEveryMs` at most, those for all once a second.
 *  - G2 an item that is withdrawn, expires or becomes restricted leaves at once: the lists that hold it come first, and the commit does not wait (`urgent`).
 *  - G3 until a cohort's lists are written once, nothing is known of what stands in the view store: so all are written after
 *       a restart.
 */
import type { Outbox, ViewWrite } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { ItemTable } from '../items/table.ts'
import type { RankingModels } from '../models/scorer.ts'
import { listBody } from './list.ts'
import { type Recommender, recommendersOf } from './recommend.ts'
import type { TopkOptions } from './surfaces.ts'

/** Independent draws of each list; a reader takes a random one. */
const cohortDraws = 16

/** What cohorts watch: the popularity part's windows, seen from here. Number 0 is '', all users. */
export interface CohortPopularity {
  /** Those that have lists, 0 among them; as of the last refresh. Who is in another reads the lists for all. */
  readonly listed: readonly number[]
  cohortName(cohort: number): string
  /** Item indices, best first, with scores. */
  popular(cohort: number): ReadonlyMap<number, number>
  /** Called in each flush. @param now processing time, ms. */
  refresh(now: number): void
}

interface CohortState {
  readonly cohort: number
  readonly name: string
  /** What the lists were built from: the items in order. */
  inputs: string
  /** Items in any of its lists. */
  held: Set<number>
  writtenAt: number
  due: boolean
}

const lookEveryMs = 1_000
/** Each of them takes a few ms, and the common part of what they are built from changes every second. */
const cohortEveryMs = 10_000
/** Lists that may wait for the next commit: ~4 MB. */
const pendingLists = 1_024

export interface CohortDeps {
  readonly options: TopkOptions
  readonly popularity: CohortPopularity
  /** What ranks, where it is not the blend (models/). */
  readonly models?: RankingModels
}

export function createCohortStage(ctx: TaskContext, deps: CohortDeps): Stage<never> {
  return new CohortStage(ctx, deps)
}

class CohortStage implements Stage<never> {
  readonly name = 'cohort-lists'
  private readonly ctx: TaskContext
  private readonly deps: CohortDeps
  private readonly items: ItemTable
  private readonly recommenders: readonly Recommender[]
  /** The most candidates that any surface asks of a source. */
  private readonly candidates: number
  private readonly states = new Map<number, CohortState>()
  private readonly pending = new Map<string, ViewWrite>()
  private readonly built
  private lookedAt = Number.NEGATIVE_INFINITY
  private cursor = 0
  private isUrgent = false
  private isRefilling = false

  constructor(ctx: TaskContext, deps: CohortDeps) {
    this.ctx = ctx
    this.deps = deps
    this.items = ctx.table<ItemTable>('items')
    this.recommenders = recommendersOf(deps.options, this.items, deps.models?.scorer)
    this.candidates = Math.max(...this.recommenders.map(each => each.surfaces[0].candidates))
    this.built = ctx.metrics.counter('freshet_topk_cohort_lists_total')
  }

  tick(budgetMs: number): boolean {
    const { ctx } = this
    const start = ctx.now()
    this.followNews()
    const looksOn = this.isRefilling && !this.isAnyDue
    if (looksOn || start - this.lookedAt >= lookEveryMs) {
      this.lookedAt = start
      this.look(start)
    }
    // a cohort's draws cost a few ms: one at least, then as the budget allows
    for (const state of this.states.values()) {
      if (!state.due) continue
      if (this.pending.size >= pendingLists) return false
      this.build(state, ctx.now())
      if (ctx.now() - start >= budgetMs) break
    }
    return this.isAnyDue
  }

  private get isAnyDue(): boolean {
    for (const { due } of this.states.values()) if (due) return true
    return false
  }

  urgent(): boolean {
    return this.isUrgent && (this.pending.size >= pendingLists || !this.isAnyDue)
  }

  flush(out: Outbox): void {
    for (const write of this.pending.values()) out.view(write)
    this.pending.clear()
    this.isUrgent &&= this.isAnyDue
    const { popularity, models } = this.deps
    models?.flush(out)
    popularity.refresh(this.ctx.now())
    // cohorts that came with this refresh are looked at next
    this.isRefilling &&= this.states.size < popularity.listed.length || this.isAnyDue
  }

  refill(): void {
    for (const state of this.states.values()) state.due = true
    this.isRefilling = true
  }

  refilling(): boolean {
    return this.isRefilling
  }

  private followNews(): void {
    const { news } = this.items
    for (; this.cursor < news.length; this.cursor++)
      for (const state of this.states.values())
        if (state.held.has(news[this.cursor])) {
          state.due = true
          this.isUrgent = true
        }
  }

  /** Which cohorts there are, and whose inputs changed. */
  private look(now: number): void {
    const { popularity, options } = this.deps
    const listed = new Set(popularity.listed)
    for (const state of this.states.values()) if (!listed.has(state.cohort)) this.drop(state)
    for (const cohort of listed)
      if (!this.states.has(cohort))
        this.states.set(cohort, {
          cohort,
          name: cohort === 0 ? '' : popularity.cohortName(cohort),
          inputs: '',
          held: new Set(),
          writtenAt: Number.NEGATIVE_INFINITY,
          due: false,
        })
    const common = this.commonInputs()
    for (const state of this.states.values()) {
      if (state.cohort !== 0 && now - state.writtenAt < cohortEveryMs) continue
      const inputs = `${common} | ${this.cohortInputs(state.cohort)}`
      if (inputs === state.inputs && now - state.writtenAt < options['topk.cohortLife'] / 2)
        continue
      state.inputs = inputs
      state.due = true
    }
  }

  /** Its readers fall back to the lists for all. */
  private drop(state: CohortState): void {
    this.states.delete(state.cohort)
    for (const { surfaces } of this.recommenders)
      for (const { name: surface } of surfaces)
        for (let n = 0; n < cohortDraws; n++) {
          const key = keyOf(surface, state, n)
          this.pending.set(key, { op: 'delete', key })
        }
  }

  /** What every list is built from: the order of the popular and the newest. Scores move all the time; order is what shows. */
  private commonInputs(): string {
    const { items } = this
    const n = this.candidates
    const popular = items.halfLivesMs.map((_, h) => items.popular(h, n).join())
    return `${popular.join(';')} | ${items.newest(n).join()}`
  }

  private cohortInputs(cohort: number): string {
    if (cohort === 0) return ''
    const best = [...this.deps.popularity.popular(cohort).keys()]
    return best.slice(0, this.candidates).join()
  }

  private build(state: CohortState, now: number): void {
    state.due = false
    state.writtenAt = now
    state.held.clear()
    for (const recommender of this.recommenders) this.buildWith(recommender, state, now)
  }

  private buildWith(recommender: Recommender, state: CohortState, now: number): void {
    const { options, popularity } = this.deps
    const { name: cohort } = state
    const lifeMs = options['topk.cohortLife']
    const subject = `cohort ${cohort} ${this.items.countedUntil}`
    const popular = state.cohort === 0 ? undefined : popularity.popular(state.cohort)
    recommender.prepare(null, now, subject, popular)
    for (const { name: surface } of recommender.surfaces)
      for (let n = 0; n < cohortDraws; n++) {
        const slate = recommender.draw(surface, `${subject} ${n}`, cohort)
        for (let k = 0; k < slate.count; k++) state.held.add(recommender.itemOf(slate.picked[k]))
        const key = keyOf(surface, state, n)
        const { policy, model } = recommender
        const head = { user: '', surface, cohort, at: now, expires: now + lifeMs, policy, model }
        const body = listBody(head, slate, recommender, options['topk.format'])
        this.pending.set(
          key,
          slate.count === 0 ? { op: 'delete', key } : { op: 'json', key, body, ttlMs: lifeMs },
        )
        this.built.add()
      }
  }
}

function keyOf(surface: string, { cohort, name }: CohortState, n: number): string {
  return cohort === 0 ? `topk:${surface}:global:${n}` : `topk:${surface}:c:${name}:${n}`
}
