/**
 * What goes wrong in a schedule, drawn from its seed. Each schedule leaves most faults out and overdoes others: faults that
 * always come together hide each other.
 */
import type { Node, VirtualProcess } from './process.ts'
import type { Rng } from './rng.ts'

export const MINUTE_MS = 60_000

export interface Plan {
  readonly processes: number
  readonly words: number
  readonly totals: number
  readonly wordsCommitMs: number
  readonly totalsCommitMs: number
  readonly events: number
  /** How long the events take to come. */
  readonly stormMs: number
  /** Per event of a process. */
  readonly crash: number
  readonly freeze: number
  readonly cut: number
  readonly lost: number
  readonly late: number
  readonly slowMs: number
  readonly slowReplicas: number
  /** What the world does every `everyMs` or so. */
  readonly acts: readonly Act[]
  readonly actEveryMs: number
  /** Half of the events come before it, half behind. 0: none. */
  readonly gapMs: number
  readonly producerExpiryMs: number
  readonly tombstonesMs: number
  /** Epoch that the tasks' lines have reached before the schedule begins; undefined: empty changelogs. */
  readonly epoch: number | undefined
  readonly skewMs: number
}

export type Act =
  | 'compact'
  | 'change leader'
  | 'views away'
  | 'tables away'
  | 'registry away'
  | 'broker away'
  | 'coordinator away'
  | 'empty views'
  | 'views of a copy'
  | 'stop a worker'
  | 'cut a worker off'

const acts: readonly Act[] = [
  'compact',
  'change leader',
  'views away',
  'tables away',
  'registry away',
  'broker away',
  'coordinator away',
  'empty views',
  'views of a copy',
  'stop a worker',
  'cut a worker off',
]

export function drawPlan(rng: Rng): Plan {
  const gap = rng.chance(0.12)
  return {
    processes: rng.int(2, 3),
    words: rng.int(1, 2),
    totals: rng.int(1, 2),
    wordsCommitMs: rng.pick([40, 80, 150]),
    totalsCommitMs: rng.pick([60, 120, 200]),
    events: 200,
    stormMs: rng.int(1500, 4000),
    crash: rng.pick([0, 0.0005, 0.002, 0.006]),
    freeze: rng.pick([0, 0, 0.0007, 0.002]),
    cut: rng.pick([0, 0, 0.001, 0.003]),
    lost: rng.pick([0, 0, 0.02, 0.1]),
    late: rng.pick([0, 0, 0.02, 0.08]),
    slowMs: rng.pick([1, 3, 10, 40]),
    slowReplicas: rng.pick([0, 0, 0.2, 0.6]),
    acts: acts.filter(() => rng.chance(0.3)),
    actEveryMs: rng.int(80, 500),
    gapMs: gap ? rng.int(65, 120) * MINUTE_MS : 0,
    producerExpiryMs: gap ? rng.int(15, 40) * MINUTE_MS : 1440 * MINUTE_MS,
    tombstonesMs: rng.pick([20 * MINUTE_MS, 1440 * MINUTE_MS]),
    epoch: rng.chance(0.08) ? 32_766 - rng.int(0, 3) : undefined,
    skewMs: rng.pick([0, 0, 3000]),
  }
}

const NODES: readonly Node[] = ['log', 'group', 'views', 'tables', 'registry']

/** What happens to a process at one of its awaits. */
export class Strikes {
  active = false
  count = 0
  private readonly plan: Plan
  private readonly rng: Rng
  private readonly nowMs: () => number
  private readonly sessionMs: number
  private readonly note: (what: () => string) => void

  constructor(
    plan: Plan,
    rng: Rng,
    nowMs: () => number,
    sessionMs: number,
    note: (what: () => string) => void,
  ) {
    this.plan = plan
    this.rng = rng
    this.nowMs = nowMs
    this.sessionMs = sessionMs
    this.note = note
  }

  strike(process: VirtualProcess, onDeath: (process: VirtualProcess) => void): void {
    if (!this.active) return
    const { crash, freeze, cut } = this.plan
    const drawn = this.rng.unit()
    if (drawn >= crash + freeze + cut) return
    this.count++
    if (drawn < crash) {
      this.note(() => `${process.name} is killed`)
      process.kill()
      onDeath(process)
    } else if (drawn < crash + freeze) this.freeze(process)
    else this.cut(process)
  }

  freeze(process: VirtualProcess, ms = this.rng.int(20, 3 * this.sessionMs)): void {
    this.note(() => `${process.name} is frozen for ${ms} ms`)
    process.heldUntil = this.nowMs() + ms
  }

  cut(process: VirtualProcess): void {
    const ms = this.rng.int(50, 3 * this.sessionMs)
    const nodes = this.rng.chance(0.3) ? NODES : [this.rng.pick(NODES)]
    this.note(() => `${process.name} is cut off from ${nodes} for ${ms} ms`)
    for (const node of nodes) process.cutUntil[node] = this.nowMs() + ms
  }
}
