/**
 * What one task reads: its co-partitioned input topics, merged in the order that was recorded, or else by timestamp as live
 * workers merge what waits; and which step each record is in (S1).
 */
import type { TaskCore } from '../../streams/runtime/core.ts'
import type { Range } from '../archive/ranges.ts'
import type { RecordSource, SourceRecord } from './source.ts'
import type { Step } from './steps.ts'

/** Records of one task in one step: a commit holds what a commit may. */
const MOST_A_STEP = 4096

export interface FedInput {
  /** Without prefix. */
  readonly topic: string
  readonly range: Range
}

interface Queue {
  readonly topic: string
  readonly to: number
  readonly runs: AsyncGenerator<SourceRecord[]>
  run: readonly SourceRecord[]
  index: number
  over: boolean
}

export class TaskFeed {
  private readonly queues: Queue[]
  private readonly stepMs: number
  private newest = 0
  private cut = 0
  private at = -1

  constructor(
    source: RecordSource,
    partition: number,
    inputs: readonly FedInput[],
    stepMs: number,
    after: Step | null,
  ) {
    this.stepMs = stepMs
    // a record's step never goes back behind one that is done
    if (after !== null) {
      this.newest = after.at * stepMs
      this.at = after.at
      this.cut = after.cut + 1
    }
    this.queues = inputs.map(({ topic, range: [from, to] }) => ({
      topic,
      to,
      runs: source.read(topic, partition, from, to),
      run: [],
      index: 0,
      over: from >= to,
    }))
  }

  /** The step of its next record; undefined: there is none. */
  async next(): Promise<Step | undefined> {
    await this.fill()
    const head = this.head()
    if (head === undefined) return undefined
    const at = this.stepOf(head.run[head.index].timestamp)
    return { at, cut: at === this.at ? this.cut : 0 }
  }

  /** Gives the core the records of the step, as many as one may hold. Returns how many it took. */
  async feed(core: TaskCore, step: Step): Promise<number> {
    let taken = 0
    for (;;) {
      await this.fill()
      const head = this.head()
      if (head === undefined) break
      const { waits, count, more } = this.take(core, head, step, MOST_A_STEP - taken)
      taken += count
      if (waits) await waits
      else if (!more) break
    }
    this.at = step.at
    this.cut = step.cut + 1
    return taken
  }

  /** Records of the queue that comes next, as long as it does. Hot. */
  private take(
    core: TaskCore,
    queue: Queue,
    step: Step,
    most: number,
  ): { waits?: Promise<void>; count: number; more: boolean } {
    const { run, topic } = queue
    const other = this.head(queue)
    const before = other?.run[other.index]
    let count = 0
    while (queue.index < run.length) {
      const record = run[queue.index]
      if (this.stepOf(record.timestamp) > step.at || count >= most) return { count, more: false }
      if ((count & 63) === 63 && core.full) return { count, more: false }
      const waits = core.process(topic, record)
      if (waits) return { waits, count, more: true }
      if (record.timestamp > this.newest) this.newest = record.timestamp
      queue.index++
      count++
      if (before && queue.index < run.length && !comesBefore(run[queue.index], before)) break
    }
    return { count, more: true }
  }

  private stepOf(timestamp: number): number {
    return Math.floor(Math.max(timestamp, this.newest) / this.stepMs)
  }

  /** Every queue that is not over has a record. */
  private async fill(): Promise<void> {
    for (const queue of this.queues)
      while (!queue.over && queue.index >= queue.run.length) {
        const { done, value } = await queue.runs.next()
        if (done) queue.over = true
        else {
          queue.run = value
          queue.index = 0
        }
      }
  }

  private head(except?: Queue): Queue | undefined {
    let best: Queue | undefined
    for (const queue of this.queues) {
      if (queue === except || queue.index >= queue.run.length) continue
      if (best === undefined || comesBefore(queue.run[queue.index], best.run[best.index]))
        best = queue
    }
    return best
  }

  /** Positions behind the last record: offsets there that hold none are dealt with too. */
  finish(core: TaskCore): void {
    for (const { topic, to, over } of this.queues)
      if (over && (core.position(topic) ?? 0) < to) core.advance(topic, to)
  }

  async close(): Promise<void> {
    for (const { runs } of this.queues) await runs.return(undefined)
  }
}

function comesBefore(a: SourceRecord, b: SourceRecord): boolean {
  return a.arrival !== undefined && b.arrival !== undefined
    ? a.arrival < b.arrival
    : a.timestamp < b.timestamp
}
