/** What the world does while the faults last, besides what strikes processes: one act of the plan's every so often. */
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { Worker } from '../../streams/runtime/worker.ts'
import type { Broker } from './broker.ts'
import type { Act, Plan, Strikes } from './faults.ts'
import type { Network } from './network.ts'
import type { Node, VirtualProcess } from './process.ts'
import type { Rng } from './rng.ts'
import type { Scheduler } from './scheduler.ts'
import type { ViewServer } from './sinks.ts'

export interface ActsAround {
  readonly plan: Plan
  readonly rng: Rng
  readonly broker: Broker
  readonly scheduler: Scheduler
  readonly names: TopicNames
  readonly views: ViewServer
  readonly network: Network
  readonly strikes: Strikes
  readonly slots: readonly { process: VirtualProcess; worker: Worker; up: boolean }[]
  readonly sessionMs: number
  readonly note: (what: () => string) => void
}

export class Acts {
  private readonly around: ActsAround

  constructor(around: ActsAround) {
    this.around = around
  }

  /** From now on, until the strikes end. */
  begin(): void {
    const { plan, rng, scheduler, strikes } = this.around
    if (plan.acts.length === 0 || !strikes.active) return
    scheduler.after(rng.int(1, 2 * plan.actEveryMs), 'act', undefined, () => {
      if (!strikes.active) return
      this.perform(rng.pick(plan.acts))
      this.begin()
    })
  }

  private perform(act: Act): void {
    const { rng, scheduler, broker, network, views, strikes, slots, sessionMs, note } = this.around
    note(() => act)
    const away = (node: Node): void =>
      network.takeDown(node, scheduler.now + rng.int(50, 2 * sessionMs))
    switch (act) {
      case 'compact':
        this.compact(() => rng.int(1, 6))
        return
      case 'change leader':
        rng.pick(broker.all()).changeLeader()
        return
      case 'views away':
        away('views')
        return
      case 'tables away':
        away('tables')
        return
      case 'registry away':
        away('registry')
        return
      case 'broker away':
        away('log')
        return
      case 'coordinator away':
        away('group')
        return
      case 'empty views':
        views.empty(scheduler.now)
        return
      case 'views of a copy':
        if (rng.chance(0.5)) views.copy()
        else views.goBack(scheduler.now)
        return
      case 'stop a worker': {
        const slot = rng.pick(slots)
        if (slot.up && !slot.process.frozen) void slot.worker.stop()
        return
      }
      case 'cut a worker off':
        strikes.cut(rng.pick(slots).process)
        return
    }
  }

  /** `active`: how many of a log's last batches the cleaner does not touch. */
  compact(active: () => number): void {
    const { names, broker, scheduler } = this.around
    for (const kind of ['words', 'totals'])
      for (const log of broker.logs(names.changelog(kind))) log.compact(active(), scheduler.now)
  }
}
