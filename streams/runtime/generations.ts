/**
 * Whose the topics of a prefix are, which generation of the state is in force, and which tasks of it have state: a journal
 * on `<prefix>generations`, never compacted, a few records in an application's life. Every worker reads it before it
 * touches anything else.
 *
 *  - G1 One application a prefix: another application.id is refused before it fences anyone.
 *  - G2 All workers have the generation that stands here; only a reset raises it. No option can make two of one application
 *    differ.
 *  - G3 A task that had state and finds none had it removed by hand: an error, never a quiet start from nothing.
 *
 * Two that write at once: a record names the offset of the one it replaces, and is in force only if that still was.
 */
import { FreshetError, messageOf } from '../errors.ts'
import type { Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { type TopicNames, topicNames } from './names.ts'
import { readUpTo } from './restore.ts'

const KEY = { generation: 'generation', born: 'born' } as const
const DEADLINE_MS = 60_000
/** How far up generations are looked for that the journal does not name. */
export const LOOKED_FOR = 64

/** A record in force. */
export interface Generation {
  readonly application: string
  readonly generation: number
  /** Wall clock, ms. */
  readonly at: number
  readonly offset: number
}

export interface Journal {
  /** undefined: nothing has begun. */
  readonly current: Generation | undefined
  /** Names of tasks that have state, in the current generation. */
  readonly born: ReadonlySet<string>
  /** Kinds that had state, by generation. */
  readonly kinds: ReadonlyMap<number, ReadonlySet<string>>
}

export interface GenerationsSettings {
  readonly transport: Transport
  /** Any generation's names: only the prefix counts. */
  readonly names: TopicNames
  readonly wall: () => number
}

export class Generations {
  private readonly settings: GenerationsSettings
  private readonly at: { readonly topic: string; readonly partition: 0 }
  private known: Journal & { readonly born: Set<string> } = {
    current: undefined,
    born: new Set(),
    kinds: new Map(),
  }

  constructor(settings: GenerationsSettings) {
    this.settings = settings
    this.at = { topic: settings.names.outside('generations'), partition: 0 }
  }

  /** What stands there now; nothing is made. Errors: CHANGELOG_CORRUPT with the address of a record that can't be read. */
  async read(): Promise<Journal> {
    const { transport } = this.settings
    const { topic } = this.at
    if (!(await transport.topics.describe([topic])).has(topic)) return this.known
    const [{ end }] = await transport.topics.offsets([this.at])
    let current: Generation | undefined
    const born = new Map<number, Set<string>>()
    await readUpTo(
      transport,
      this.at,
      end,
      ({ records }) => {
        for (const { offset, key, value } of records) {
          const found = parse(key, value, `${topic}-0@${offset}`)
          if ('follows' in found) {
            if (found.follows === (current?.offset ?? -1)) current = { ...found, offset }
          } else {
            const tasks = born.get(found.generation) ?? new Set()
            born.set(found.generation, tasks.add(found.task))
          }
        }
      },
      () => false,
    )
    this.known = {
      current,
      born: born.get(current?.generation ?? -1) ?? new Set(),
      kinds: new Map([...born].map(([generation, tasks]) => [generation, kindsOf(tasks)])),
    }
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

  /** Begins a generation in the place of `from`. Errors: APPLICATION_OTHER where someone else did so meanwhile. */
  async raise(
    from: Generation | undefined,
    application: string,
    generation: number,
  ): Promise<Generation> {
    await this.make()
    const follows = from?.offset ?? -1
    await this.append(KEY.generation, { application, generation, follows })
    const { current } = await this.read()
    if (current?.application === application && current.generation === generation) return current
    throw new FreshetError(
      'APPLICATION_OTHER',
      `${this.at.topic}-0@${current?.offset}: while generation ${generation} of ${application} was begun, generation ${current?.generation} of ${current?.application} was; call it again if that was not you`,
    )
  }

  /** G3 for one task, as its claim needs it. */
  birthsOf(task: string): Births {
    return {
      known: async () => this.known.born.has(task) || (await this.read()).born.has(task),
      add: async () => {
        const { current, born } = this.known
        if (current === undefined || born.has(task)) return
        await this.append(KEY.born, { generation: current.generation, task })
        born.add(task)
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

  private async append(key: string, value: object): Promise<void> {
    const { transport, wall } = this.settings
    const builder = new RecordBatchBuilder()
    const at = wall()
    builder.add(Buffer.from(key), Buffer.from(JSON.stringify({ ...value, at })))
    const producerId = await transport.newProducerId()
    const writer = transport.writer({ producerId, epoch: 0, deadlineMs: DEADLINE_MS })
    await writer.append(this.at, builder.finish(at))
  }
}

/** Whether a task had state before. */
export interface Births {
  known(): Promise<boolean>
  /** Its first ownership stands in its log. */
  add(): Promise<void>
}

type Found =
  | { application: string; generation: number; at: number; follows: number }
  | { generation: number; task: string }

function parse(key: Buffer | null, value: Buffer | null, where: string): Found {
  try {
    const found = JSON.parse(String(value)) as Record<string, unknown>
    const { generation, at, follows, application, task } = found
    const kind = String(key)
    if (kind === KEY.born && isCount(generation) && typeof task === 'string')
      return { generation, task }
    if (
      kind === KEY.generation &&
      [generation, at, follows].every(Number.isSafeInteger) &&
      typeof application === 'string'
    )
      return found as Found
    throw new TypeError(`it is ${kind} ${value}`)
  } catch (error) {
    throw new FreshetError(
      'CHANGELOG_CORRUPT',
      `${where}: this is no record of a generation (${messageOf(error)}): a newer version or someone else wrote it; run that version, or remove the topic and begin anew with \`freshet reset\``,
      error,
    )
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value)

const kindsOf = (tasks: ReadonlySet<string>): ReadonlySet<string> =>
  new Set([...tasks].map(task => task.slice(0, task.lastIndexOf('-'))))
