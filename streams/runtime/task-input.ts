/**
 * What a task reads: its topics, what was fetched of them and waits, and where it begins. Bounded (C7): its topics are
 * paused where too much waits, and fetched again once that is worked off.
 */
import type { TaskKind } from '../topology/stage.ts'
import type {
  FetchedBatch,
  LogReader,
  LogRecord,
  TaskId,
  TopicPartition,
  Transport,
} from '../transport/port.ts'
import { DELTAS, type TaskCore } from './core.ts'
import { InputQueue } from './input-queue.ts'
import type { TopicNames } from './names.ts'
import { startOffset } from './start-offset.ts'

/** What may wait before the topics are paused, and below which they are fetched again: a packet is one record. */
const HIGH = { records: 20_000, bytes: 16 << 20 }
const LOW = { records: 5_000, bytes: 4 << 20 }

export class TaskInput {
  /** Full names of the topics. */
  readonly topics: readonly string[]
  private readonly partition: number
  private readonly reader: LogReader
  private readonly nameOf = new Map<string, string>()
  private readonly queue = new InputQueue()
  private paused = false

  constructor(id: TaskId, kind: TaskKind, names: TopicNames, reader: LogReader) {
    this.partition = id.partition
    this.reader = reader
    for (const input of kind.inputs) this.nameOf.set(names.outside(input), input)
    if (kind.deltas) this.nameOf.set(names.deltas(kind.name), DELTAS)
    this.topics = [...this.nameOf.keys()]
  }

  private get parts(): TopicPartition[] {
    return this.topics.map(topic => ({ topic, partition: this.partition }))
  }

  /** Begins to fetch where the core's positions are. Errors: POSITION_LOST. `cancelled`: another owns them by now. */
  async assign(
    core: TaskCore,
    startAt: 'earliest' | 'latest',
    topics: Pick<Transport['topics'], 'offsets'>,
    cancelled: () => boolean,
  ): Promise<void> {
    const { parts } = this
    const bounds = await topics.offsets(parts)
    if (cancelled()) return
    parts.forEach((at, i) => {
      const name = this.nameOf.get(at.topic) as string
      const position = core.position(name)
      const offset = startOffset(at, bounds[i], position, name === DELTAS ? 'whole' : startAt)
      // written down with the next commit: a restart goes on here, whatever the log's ends are by then
      if (position === undefined) core.advance(name, offset)
      // freshet's own records become state as they stand there; events are judged one by one
      this.reader.assign(at, offset, name === DELTAS)
    })
  }

  unassign(): void {
    for (const at of this.parts) this.reader.unassign(at)
  }

  accept(batch: FetchedBatch): void {
    this.queue.add(batch)
    const { size, bytes } = this.queue
    if (!this.paused && (size > HIGH.records || bytes > HIGH.bytes)) this.pause(true)
  }

  /**
   * Hands records over in order, as long as there are some and `may` says so. What `take` gives back is a promise where the
   * record is not taken in: it is handed over again once that is settled. `left`: some could be taken now.
   */
  drain(
    core: TaskCore,
    may: () => boolean,
    take: (name: string, record: LogRecord) => Promise<void> | undefined,
  ): { left: boolean; wait?: Promise<void> } {
    while (may()) {
      const queue = this.queue.head((topic, next) => {
        const name = this.nameOf.get(topic) as string
        if (next > (core.position(name) ?? -1)) core.advance(name, next)
      })
      if (!queue) break
      const wait = take(this.nameOf.get(queue.topic) as string, this.queue.record(queue))
      if (wait) return { left: false, wait }
      this.queue.taken(queue)
    }
    const { size, bytes } = this.queue
    if (this.paused && size < LOW.records && bytes < LOW.bytes) this.pause(false)
    return { left: size > 0 }
  }

  /** What waits is of no use any more. */
  clear(): void {
    this.queue.clear()
  }

  /** The outside topics among the names of `positions`, with where each stands. */
  outside(positions: ReadonlyMap<string, number>): { at: TopicPartition; offset: number }[] {
    return [...this.nameOf].flatMap(([topic, name]) => {
      const offset = positions.get(name)
      return name === DELTAS || offset === undefined
        ? []
        : [{ at: { topic, partition: this.partition }, offset }]
    })
  }

  private pause(on: boolean): void {
    this.paused = on
    for (const at of this.parts) {
      if (on) this.reader.pause(at)
      else this.reader.resume(at)
    }
  }
}
