/**
 * Whose the topics of a prefix are, which generation is in force and where its state stands, and which tasks of it have state:
 * a journal on `<prefix>generations`, never compacted, a few records in an application's life. Every worker reads it before
 * it touches anything else.
 *
 *  - G1 One application a prefix: another application.id is refused before it fences anyone.
 *  - G2 All workers have the generation that stands here; only a reset, a cutover or a rollback raises it. No option can make
 *       two of one application differ.
 *  - G3 A task that had state and finds none had it removed by hand: an error, never a quiet start from nothing. Tasks of
 *       state that a generation goes on with are born with its record.
 *  - G4 While a hold is in force no worker has a task, and whoever holds raises before its deadline or not at all. A hold
 *       that is over leaves everything as it was.
 *
 * Two that write at once: a record of a generation names the offset of the one it replaces, and is in force only if that
 * still was; of two holds the first in the log is.
 */
import { FreshetError } from '../errors.ts'
import type { Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import {
  type Generation,
  type Hold,
  type Journal,
  JournalReading,
  KEY,
  type Positions,
  type Switch,
} from './journal-records.ts'
import { type TopicNames, topicNames } from './names.ts'
import { readUpTo } from './restore.ts'

const DEADLINE_MS = 60_000
/** How far up generations are looked for that the journal does not name. */
export const LOOKED_FOR = 64

export interface GenerationsSettings {
  readonly transport: Transport
  /** Any generation's names: only the prefix counts. */
  readonly names: TopicNames
  readonly wall: () => number
}

/** What a process works on. */
export interface InForce {
  /** Of views and table rows. */
  readonly generation: number
  /** Of the topics, those of the state in force among them. */
  readonly names: TopicNames
  /** See `Generation`. */
  readonly shownFrom: Positions | undefined
}

/** As the journal says; the first generation where nothing has begun. */
export function inForce(names: TopicNames, { current }: Pick<Journal, 'current'>): InForce {
  const own = names.outside('')
  const { generation = 1, state = 1, shownFrom } = current ?? {}
  return { generation, names: topicNames(own, state), shownFrom }
}

export class Generations {
  private readonly settings: GenerationsSettings
  private readonly at: { readonly topic: string; readonly partition: 0 }
  private known: Journal
  /** Births of this generation that are known: those read, and those that were added since. */
  private born = new Set<string>()

  constructor(settings: GenerationsSettings) {
    this.settings = settings
    this.at = { topic: settings.names.outside('generations'), partition: 0 }
    this.known = new JournalReading(settings.names.outside('')).journal()
  }

  /** Where the journal ends, which must be there: nothing has changed while this has not. */
  async end(): Promise<number> {
    return (await this.settings.transport.topics.offsets([this.at]))[0].end
  }

  /** What stands there now; nothing is made. Errors: CHANGELOG_CORRUPT with the address of a record that can't be read. */
  async read(): Promise<Journal> {
    const { transport, names } = this.settings
    const { topic } = this.at
    if (!(await transport.topics.describe([topic])).has(topic)) return this.known
    const end = await this.end()
    const reading = new JournalReading(names.outside(''))
    await readUpTo(
      transport,
      this.at,
      end,
      ({ records }) => {
        for (const record of records) reading.take(record, `${topic}-0@${record.offset}`)
      },
      () => false,
    )
    this.known = reading.journal()
    this.born = new Set(this.known.born)
    return this.known
  }

  /**
   * Enters the application's generation as a worker, the first one into an empty journal. `kinds` of tasks tell state that
   * the journal does not know of.
   * Errors: APPLICATION_OTHER (G1, G2), STATE_REMOVED where state stands here and the journal is empty.
   */
  async enter(application: string, generation: number, kinds: readonly string[]): Promise<Journal> {
    await this.make()
    for (;;) {
      const { current } = await this.read()
      if (current !== undefined) {
        this.refuseOther(current, application, generation)
        return this.known
      }
      await this.refuseForgotten(kinds)
      await this.append(KEY.generation, { application, generation, follows: -1 }).catch(error => {
        // whether it was written is unknown: the next look tells
        if (!(error instanceof FreshetError && error.code === 'STALLED')) throw error
      })
    }
  }

  /**
   * Begins a generation in the place of `from`; `switched`: it goes on with state that is there already. `before`: not at this
   * time (wall clock, ms) or later, however long the log could not be reached (G4).
   * Errors: APPLICATION_OTHER where someone else did so meanwhile; WORKERS_RUNNING where it is too late.
   */
  async raise(
    from: Generation | undefined,
    application: string,
    generation: number,
    switched?: Switch,
    before?: number,
  ): Promise<Generation> {
    await this.make()
    const follows = from?.offset ?? -1
    const record = { application, generation, follows, ...switched }
    await this.append(switched ? KEY.switch : KEY.generation, record, before)
    const { current } = await this.read()
    if (
      current?.application === application &&
      current.generation === generation &&
      current.by === (switched?.by ?? null)
    )
      return current
    throw new FreshetError(
      'APPLICATION_OTHER',
      `${this.at.topic}-0@${current?.offset}: while generation ${generation} of ${application} was begun, generation ${current?.generation} of ${current?.application} was; call it again if that was not you`,
    )
  }

  /** Has workers let go (G4). Again with the same id: until another time. Errors: WORKERS_RUNNING while someone else does. */
  async hold(hold: Hold): Promise<void> {
    await this.append(KEY.hold, hold)
    const found = (await this.read()).hold
    if (found?.id === hold.id) return
    throw new FreshetError(
      'WORKERS_RUNNING',
      found
        ? `${found.by} holds the workers until ${new Date(found.until).toISOString()}; wait until it is done`
        : `generation ${this.known.current?.generation} began while ${hold.by} was to hold the workers of generation ${hold.generation}; call it again`,
    )
  }

  /** Gives a hold back before its time. */
  async release(hold: Hold): Promise<void> {
    await this.append(KEY.hold, { ...hold, until: 0 })
  }

  /** G3 for one task, as its claim needs it. */
  birthsOf(task: string): Births {
    return {
      known: async () => {
        if (!this.born.has(task)) await this.read()
        return this.born.has(task)
      },
      add: async () => {
        const { current } = this.known
        if (current === undefined || this.born.has(task)) return
        await this.append(KEY.born, { generation: current.generation, task })
        this.born.add(task)
      },
    }
  }

  private refuseOther(current: Generation, application: string, generation: number): void {
    const { outside } = this.settings.names
    const where = `${this.at.topic}-0@${current.offset}`
    if (current.application !== application)
      throw new FreshetError(
        'APPLICATION_OTHER',
        `${where}: topics with the prefix ${JSON.stringify(outside(''))} belong to application ${current.application} since ${new Date(current.at).toISOString()}, this is ${application}; give this one a topics.prefix of its own, or application.id=${current.application} to work with that one; \`freshet reset\` takes the topics over and begins anew`,
      )
    if (current.generation !== generation)
      throw new FreshetError(
        'APPLICATION_OTHER',
        `${where}: generation ${current.generation} of the state began at ${new Date(current.at).toISOString()}, this worker was starting with ${generation}: start it again`,
      )
  }

  /** State without a journal begins at generation 1; above that it is no longer known which one is in force. */
  private async refuseForgotten(kinds: readonly string[]): Promise<void> {
    const { names, transport } = this.settings
    const topics: string[] = []
    for (let generation = LOOKED_FOR; generation > 1; generation--)
      for (const kind of kinds)
        topics.push(topicNames(names.outside(''), generation).changelog(kind))
    const found = await transport.topics.describe(topics)
    const topic = topics.find(name => found.has(name))
    if (topic === undefined) return
    throw new FreshetError(
      'STATE_REMOVED',
      `${this.at.topic} is empty although ${topic} is there: it said which generation is in force and was removed by hand; begin anew with \`freshet reset\``,
    )
  }

  private async make(): Promise<void> {
    const { topics } = this.settings.transport
    const { topic } = this.at
    if ((await topics.describe([topic])).has(topic)) return
    const config = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' }
    await topics.create([{ topic, partitions: 1, config }])
  }

  private async append(
    key: string,
    value: object,
    before = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { transport, wall } = this.settings
    const builder = new RecordBatchBuilder()
    const producerId = await transport.newProducerId()
    const at = wall()
    if (at >= before)
      throw new FreshetError(
        'WORKERS_RUNNING',
        `${this.at.topic}-0 could not be written to in time: nothing was changed and the workers go on; call it again`,
      )
    builder.add(Buffer.from(key), Buffer.from(JSON.stringify({ ...value, at })))
    const deadlineMs = Math.min(DEADLINE_MS, before - at)
    const writer = transport.writer({ producerId, epoch: 0, deadlineMs })
    await writer.append(this.at, builder.finish(at))
  }
}

/** Whether a task had state before. */
export interface Births {
  known(): Promise<boolean>
  /** Its first ownership stands in its log. */
  add(): Promise<void>
}
