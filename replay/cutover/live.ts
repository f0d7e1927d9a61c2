/** The live application while another state takes its place: held, fenced, and asked where it stands. */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { claim } from '../../streams/runtime/claim.ts'
import type { Generations } from '../../streams/runtime/generations.ts'
import type { Generation, Hold, Positions, Switch } from '../../streams/runtime/journal-records.ts'
import { lastCommit } from '../../streams/runtime/last-commit.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { TopicPartition, Transport } from '../../streams/transport/port.ts'

const LOOK_MS = 100
/** What the raise itself may take: nothing is raised so close to a hold's end. */
const MARGIN_MS = 2_000

export interface LiveSettings {
  readonly transport: Transport
  readonly generations: Generations
  /** The consumer group of the workers. */
  readonly applicationId: string
  /** Kinds of the live application with their inputs (short names) and number of tasks. */
  readonly kinds: readonly { readonly name: string; readonly inputs: readonly string[] }[]
  readonly counts: ReadonlyMap<string, number>
  readonly writerDeadlineMs: number
  readonly clock: Clock
  readonly onStage: (text: string) => void
}

export class HeldLive {
  private readonly settings: LiveSettings
  private readonly from: Generation
  /** Of the state in force. */
  private readonly names: TopicNames
  private hold: Hold | undefined
  /** Where each changelog ends, with the record that fences its last owner. */
  private readonly fences: { at: TopicPartition; end: number }[] = []
  /** When workers began to let go, ms. */
  private heldAt = 0
  /** Workers were there when it was asked for. */
  hadWorkers = false

  constructor(settings: LiveSettings, from: Generation, names: TopicNames) {
    this.settings = settings
    this.from = from
    this.names = names
  }

  /**
   * Has all workers let go and nobody write to the state any more, also nobody who slept through it.
   * Errors: WORKERS_RUNNING where someone else holds them, or one does not let go in time.
   */
  async take(by: string, forMs: number): Promise<void> {
    const { generations, clock, onStage } = this.settings
    this.hadWorkers = (await this.members()).length > 0
    const until = clock.wall() + forMs
    const hold = { generation: this.from.generation, id: randomUUID(), by, until }
    this.heldAt = clock.now()
    await generations.hold(hold)
    this.hold = hold
    onStage('workers let go')
    for (let left = await this.members(); left.length > 0; left = await this.members()) {
      if (this.leftMs < MARGIN_MS)
        throw new FreshetError(
          'WORKERS_RUNNING',
          `${left.slice(0, 5).join(', ')} did not leave the group within ${forMs / 1000} s: nothing was changed and the workers go on; look at their logs for what they wait for, then call it again`,
        )
      await clock.sleep(LOOK_MS)
    }
    await this.fence()
  }

  /** Of the hold, ms. */
  get leftMs(): number {
    return (this.hold?.until ?? 0) - this.settings.clock.wall()
  }

  private async fence(): Promise<void> {
    const { transport, clock, writerDeadlineMs } = this.settings
    const logs = this.changelogs()
    const bounds = await transport.topics.offsets(logs)
    await Promise.all(
      logs.map(async (changelog, i) => {
        // a task that never was has nobody who could wake up
        if (bounds[i].end === 0) return
        const settings = { transport, changelog, clock, writerDeadlineMs }
        const outboxPartitions = () => this.deltaPartitions()
        const { token } = await claim({ ...settings, outboxPartitions }, () => this.leftMs <= 0)
        this.fences.push({ at: changelog, end: token + 1 })
      }),
    )
  }

  private changelogs(): TopicPartition[] {
    return this.settings.kinds.flatMap(kind => this.partsOf(kind.name, this.names.changelog))
  }

  private deltaPartitions(): TopicPartition[] {
    return this.settings.kinds.flatMap(kind => this.partsOf(kind.name, this.names.deltas))
  }

  private partsOf(kind: string, name: (kind: string) => string): TopicPartition[] {
    const count = this.settings.counts.get(kind) ?? 0
    return Array.from({ length: count }, (_, partition) => ({ topic: name(kind), partition }))
  }

  /** What the live state has taken in of the inputs, by its commit records. */
  async positions(): Promise<Positions> {
    return positionsOf(this.settings, this.names)
  }

  /**
   * Puts another state in force. Errors: WORKERS_RUNNING where the hold is as good as over, or workers went on by then;
   * APPLICATION_OTHER where another generation began.
   */
  async raise(to: Switch): Promise<{ generation: Generation; heldMs: number }> {
    const { generations, transport, applicationId, clock } = this.settings
    const ends = await transport.topics.offsets(this.fences.map(({ at }) => at))
    const isTouched = this.fences.some(({ end }, i) => ends[i].end !== end)
    if (this.leftMs < MARGIN_MS || isTouched || (await this.members()).length > 0)
      throw new FreshetError(
        'WORKERS_RUNNING',
        `the hold of the workers ran out before ${to.by} was ready: nothing was changed and they go on; call it again, with a longer --hold`,
      )
    const generation = await generations.raise(
      this.from,
      applicationId,
      this.from.generation + 1,
      to,
      (this.hold?.until ?? 0) - MARGIN_MS / 2,
    )
    this.hold = undefined
    return { generation, heldMs: clock.now() - this.heldAt }
  }

  /** Where nothing was raised: workers need not wait for the end of the hold. */
  async release(): Promise<void> {
    const { hold } = this
    this.hold = undefined
    if (hold) await this.settings.generations.release(hold)
  }

  /** Waits until workers are there again, if there were some. Ms since they were held; null: none was there, or came in time. */
  async back(withinMs: number): Promise<number | null> {
    const { clock } = this.settings
    if (!this.hadWorkers) return null
    for (const until = clock.now() + withinMs; clock.now() < until; await clock.sleep(LOOK_MS))
      if ((await this.members()).length > 0) return clock.now() - this.heldAt
    return null
  }

  private async members(): Promise<readonly string[]> {
    const { transport, applicationId } = this.settings
    return (await transport.members?.(applicationId)) ?? []
  }
}

/** What a state has taken in of the inputs, by its tasks' commit records; 0 where nothing is. */
export async function positionsOf(
  { transport, kinds, counts }: Pick<LiveSettings, 'transport' | 'kinds' | 'counts'>,
  names: TopicNames,
): Promise<Positions> {
  const ends: Record<string, number[]> = {}
  const there = await transport.topics.describe(kinds.map(kind => names.changelog(kind.name)))
  for (const { name, inputs } of kinds) {
    if (inputs.length === 0) continue
    const topic = names.changelog(name)
    const length = there.has(topic) ? (counts.get(name) ?? 0) : 0
    const records = await Promise.all(
      Array.from({ length }, (_, partition) => lastCommit(transport, { topic, partition })),
    )
    for (const input of inputs) {
      const known = ends[input] ?? []
      ends[input] = Array.from({ length: counts.get(name) ?? 0 }, (_, partition) =>
        Math.max(known[partition] ?? 0, records[partition]?.positions.get(input) ?? 0),
      )
    }
  }
  return ends
}
