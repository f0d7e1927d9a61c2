/** One schedule: the real runtime in several virtual processes over a virtual cluster and sinks, driven by one seed. */
import { messageOf } from '../../streams/errors.ts'
import { type Logger, silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { Worker } from '../../streams/runtime/worker.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { Acts } from './acts.ts'
import { type Environment, type SumsTable, simulatedApplication } from './application.ts'
import { Broker } from './broker.ts'
import { VirtualTransport } from './client.ts'
import { drawPlan, type Plan, Strikes } from './faults.ts'
import { isOfViews, logProblems, problems } from './final.ts'
import { Network } from './network.ts'
import { type Node, VirtualProcess } from './process.ts'
import { Recount } from './recount.ts'
import { Rng } from './rng.ts'
import { Scheduler } from './scheduler.ts'
import { TableServer, tableClient, ViewServer, viewClient } from './sinks.ts'
import { createTopics, Workload } from './workload.ts'

const BEGIN_MS = Date.UTC(2030, 0, 1)
const SESSION_MS = 1200
const WRITER_DEADLINE_MS = 2500
/** Virtual time in which everything must be right once the faults are over; and in which a worker must have stopped. */
const CALM_MS = 60_000
/** A fenced owner of an idle task hears of it with its next touch, and only then a refill that was begun goes on. */
const REFILL_MS = 11 * 60_000
const STOP_MS = 40_000

export interface Outcome {
  readonly seed: number
  /** What was found wrong; undefined: nothing. */
  readonly failure: string | undefined
  readonly hash: number
  readonly trace: readonly string[]
  readonly events: number
  readonly commits: number
  readonly takeovers: number
  readonly strikes: number
  readonly virtualMs: number
}

/** What planted bugs turn. */
export interface Options {
  readonly trace?: boolean
  readonly plan?: (plan: Plan) => Plan
  readonly transport?: (transport: Transport) => Transport
  readonly world?: (world: World) => void
}

interface Slot {
  readonly number: number
  process: VirtualProcess
  worker: Worker
  tables: SumsTable[]
  incarnation: number
  up: boolean
}

export class World {
  readonly plan: Plan
  readonly scheduler: Scheduler
  readonly network: Network
  readonly broker: Broker
  readonly views = new ViewServer()
  readonly tables = new TableServer()
  readonly names = topicNames('s.', 1)
  readonly recount: Recount
  readonly strikes: Strikes
  readonly trace: string[] = []
  failure: string | undefined
  private readonly seed: number
  private readonly options: Options
  private readonly rng: Rng
  private readonly slots: Slot[] = []
  private readonly workload: Workload
  private readonly acts: Acts
  private readonly sleepers = new Set<() => void>()
  private phase: 'storm' | 'gap' | 'calm' | 'stopping' = 'storm'

  constructor(seed: number, options: Options = {}) {
    this.seed = seed
    this.options = options
    const drawn = drawPlan(new Rng(seed, 'plan'))
    this.plan = options.plan?.(drawn) ?? drawn
    this.rng = new Rng(seed, 'world')
    this.scheduler = new Scheduler(BEGIN_MS, new Rng(seed, 'order'))
    this.network = new Network(this.scheduler, new Rng(seed, 'network'))
    const { producerExpiryMs: expiryMs, tombstonesMs } = this.plan
    const rules = { fence: true, expiryMs, tombstonesMs }
    this.broker = new Broker(this.scheduler, new Rng(seed, 'broker'), rules)
    this.recount = new Recount({
      names: this.names,
      words: this.plan.words,
      totals: this.plan.totals,
      tables: this.tables,
      fail: what => this.fail(what),
    })
    const now = (): number => this.scheduler.now
    const note = (what: () => string): void => this.note(what)
    this.strikes = new Strikes(this.plan, new Rng(seed, 'strikes'), now, SESSION_MS, note)
    this.broker.onReadable = (log, batch) => {
      this.scheduler.mix(batch.nextOffset)
      this.note(
        () =>
          `  ${log.name}@${batch.baseOffset}-${batch.nextOffset - 1} by ${batch.producerId}/${batch.producerEpoch}`,
      )
      this.recount.take(log, batch)
    }
    this.views.onWritten = (key, view, before) => this.recount.view(key, view, before)
    this.views.onLost = (task, through) => this.recount.viewsLost(task, through, this.views)
    this.tables.onRow = row => this.recount.tableRow(String(row.id))
    const { plan, rng, broker, scheduler, names, views, network, strikes, slots } = this
    this.workload = new Workload({ plan, rng, broker, scheduler, names })
    this.acts = new Acts({
      plan,
      rng,
      broker,
      scheduler,
      names,
      views,
      network,
      strikes,
      slots,
      sessionMs: SESSION_MS,
      note,
    })
    options.world?.(this)
  }

  note(what: () => string): void {
    if (this.options.trace)
      this.trace.push(`${String(this.scheduler.now - BEGIN_MS).padStart(7)} ${what()}`)
  }

  fail(what: string): void {
    this.note(() => `FAILURE ${what}`)
    this.failure ??= what
  }

  async run(): Promise<Outcome> {
    const unhandled = (reason: unknown): void =>
      this.fail(`unhandled rejection: ${messageOf(reason)}`)
    process.on('unhandledRejection', unhandled)
    try {
      await this.schedule()
    } catch (error) {
      this.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
    } finally {
      await new Promise(resolve => setImmediate(resolve))
      process.off('unhandledRejection', unhandled)
    }
    return {
      seed: this.seed,
      failure: this.failure,
      hash: this.scheduler.hash >>> 0,
      trace: this.trace,
      events: this.scheduler.events,
      commits: this.recount.commits,
      takeovers: this.recount.takeovers,
      strikes: this.strikes.count,
      virtualMs: this.scheduler.now - BEGIN_MS,
    }
  }

  private async schedule(): Promise<void> {
    const { plan } = this
    createTopics(this.broker, this.names, plan, BEGIN_MS)
    this.network.faults = { lost: plan.lost, late: plan.late, slowMs: plan.slowMs }
    this.broker.slowReplicas = plan.slowReplicas
    for (let number = 0; number < plan.processes; number++) this.slots.push(this.boot(number, 0))
    this.strikes.active = true
    this.acts.begin()
    const half = plan.gapMs > 0 ? Math.ceil(plan.events / 2) : plan.events
    this.workload.produce(half)
    await this.until(() => this.workload.produced >= half)
    if (plan.gapMs > 0) {
      await this.gap()
      this.workload.produce(plan.events)
      await this.until(() => this.workload.produced >= plan.events)
    }
    await this.wait(this.rng.int(0, 400))
    this.calm()
    await this.settle()
    if (this.failure === undefined) await this.stopAll()
  }

  private async until(done: () => boolean): Promise<void> {
    await this.scheduler.run(() => this.failure !== undefined || done())
  }

  private async wait(ms: number): Promise<void> {
    let over = false
    this.scheduler.after(ms, 'wait', undefined, () => {
      over = true
    })
    await this.until(() => over)
  }

  // ---- processes

  private boot(number: number, incarnation: number): Slot {
    const { scheduler, network, broker, names, plan, seed } = this
    const name = `w${number}.${incarnation}`
    const virtual = new VirtualProcess(number + 1, name, scheduler, one =>
      this.strikes.strike(one, () => this.died(slot)),
    )
    virtual.skewMs = this.rng.int(-plan.skewMs, plan.skewMs)
    const rng = new Rng(seed, name)
    const tables: SumsTable[] = []
    const surroundings = {
      process: virtual,
      broker,
      network,
      rng,
      stretch: () => (this.phase === 'gap' ? 1500 : 1),
      onGapEnd: (wake: () => void) => void this.sleepers.add(wake),
      onOffsets: (at: { topic: string; partition: number }, offset: number) =>
        this.recount.offset(at.topic, at.partition, offset),
    }
    const plain = new VirtualTransport(surroundings)
    const transport = this.options.transport?.(plain) ?? plain
    this.note(() => `${name} starts`)
    const worker = new Worker({
      application: simulatedApplication(plan, this.environment(virtual, tables)),
      transport,
      names,
      outlets: {
        views: viewClient(this.views, virtual, network, rng),
        tables: tableClient(this.tables, virtual, network, rng),
        publisher: transport.publisher(),
        names,
        silent: new Set(),
      },
      clock: virtual.clock,
      log: this.logger(name),
      metrics: noMetrics,
      generation: 1,
      groupId: 'simulated',
      clientId: name,
      sessionTimeoutMs: SESSION_MS,
      writerDeadlineMs: WRITER_DEADLINE_MS,
      startAt: 'earliest',
    })
    const slot: Slot = { number, process: virtual, worker, tables, incarnation, up: true }
    worker.start().catch(error => this.fail(`${name} did not start: ${messageOf(error)}`))
    worker.done().then(
      () => this.ended(slot),
      error => this.fail(`${name} stopped by itself: ${messageOf(error)}`),
    )
    return slot
  }

  private environment(virtual: VirtualProcess, tables: SumsTable[]): Environment {
    const known = new Set<string>()
    const asked = new Map<string, Promise<void>>()
    return {
      onRecord: task => {
        if (!virtual.allowed.has(task))
          this.fail(`${virtual.name} takes in a record of ${task}, which was taken from it`)
      },
      schema: name => {
        if (known.has(name)) return undefined
        const asking =
          asked.get(name) ??
          this.network.ask(virtual, 'registry', 'schema', () => void known.add(name))
        asked.set(name, asking)
        return asking
      },
      onTable: table => {
        tables.length = 0
        tables.push(table)
      },
    }
  }

  private logger(name: string): Logger {
    if (!this.options.trace) return silentLogger
    const line =
      (level: string) =>
      (fields: Record<string, unknown>, message: string): void =>
        this.note(() => `${name} ${level}: ${message} ${JSON.stringify(fields)}`)
    return { info: line('info'), warn: line('warn'), error: line('error') }
  }

  private died(slot: Slot): void {
    slot.up = false
    const restMs = this.rng.int(10, 2000)
    this.scheduler.after(restMs, 'restart', undefined, () => this.restart(slot))
  }

  private ended(slot: Slot): void {
    this.note(() => `${slot.process.name} has stopped`)
    slot.up = false
    slot.process.kill()
    if (this.phase !== 'stopping')
      this.scheduler.after(this.rng.int(10, 800), 'restart', undefined, () => this.restart(slot))
  }

  private restart(slot: Slot): void {
    if (slot.up || this.phase === 'stopping') return
    this.slots[slot.number] = this.boot(slot.number, slot.incarnation + 1)
  }

  // ---- the gap

  /** Long enough for a broker to forget producers. One process sleeps through it. */
  private async gap(): Promise<void> {
    const { plan, rng, strikes, broker } = this
    const sleeper = rng.pick(this.slots)
    if (sleeper.up && rng.chance(0.8))
      strikes.freeze(sleeper.process, plan.gapMs + rng.int(-60_000, 10_000))
    strikes.active = false
    // those who stay take over first
    await this.wait(rng.int(0, 6 * SESSION_MS))
    this.phase = 'gap'
    broker.coordinator.patient = true
    await this.wait(plan.gapMs)
    this.phase = 'storm'
    for (const wake of this.sleepers) wake()
    this.sleepers.clear()
    await this.wait(600)
    broker.coordinator.patient = false
    strikes.active = true
    this.acts.begin()
  }

  // ---- the end

  private calm(): void {
    this.note(() => 'all faults end')
    this.phase = 'calm'
    this.strikes.active = false
    this.network.heal()
    this.broker.slowReplicas = 0
    for (const { process: virtual } of this.slots) {
      if (!virtual.dead && virtual.frozen) virtual.heldUntil = this.scheduler.now
      for (const node of Object.keys(virtual.cutUntil)) delete virtual.cutUntil[node as Node]
    }
  }

  private async settle(): Promise<void> {
    const since = this.scheduler.now
    while (this.failure === undefined) {
      await this.wait(150)
      const found = this.problems()
      if (found.length === 0) break
      const isRefill = this.views.lostAt > 0 && found.every(isOfViews)
      const calmMs = isRefill ? REFILL_MS : CALM_MS
      if (this.scheduler.now >= since + calmMs)
        this.fail(`still wrong after ${calmMs} ms without faults: ${found.slice(0, 6).join('; ')}`)
    }
    await this.wait(300)
    this.check('after all was right')
  }

  private async stopAll(): Promise<void> {
    this.phase = 'stopping'
    this.note(() => 'all workers stop')
    for (const slot of this.slots) if (slot.up) void slot.worker.stop()
    const limit = this.scheduler.now + STOP_MS
    let over = false
    this.scheduler.after(STOP_MS, 'limit', undefined, () => {
      over = true
    })
    await this.until(() => over || this.slots.every(slot => !slot.up))
    if (this.scheduler.now >= limit) this.fail(`a worker has not stopped within ${STOP_MS} ms`)
    this.check('after the stop')
    this.acts.compact(() => 1)
    for (const found of logProblems(this.state()).slice(0, 4)) this.fail(`compacted: ${found}`)
  }

  private check(when: string): void {
    if (this.failure !== undefined) return
    const found = this.problems()
    if (found.length > 0) this.fail(`${when}: ${found.slice(0, 6).join('; ')}`)
  }

  private problems(): string[] {
    return problems(this.state())
  }

  private state() {
    const { broker, names, recount, views, tables } = this
    const followed = this.slots
      .filter(slot => slot.up && this.phase === 'calm' && follows(slot.worker))
      .flatMap(slot => slot.tables)
    return { broker, names, recount, views, tables, followed }
  }
}

/** A task runs that uses the followed table. */
const follows = (worker: Worker): boolean =>
  worker.status().some(({ task, state }) => task.startsWith('words') && state === 'running')

export function runSchedule(seed: number, options: Options = {}): Promise<Outcome> {
  return new World(seed, options).run()
}
