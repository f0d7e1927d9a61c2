/** Records of the journal of generations (generations.ts): how they stand in the log, and what they come to when read in order. */
import { FreshetError, messageOf } from '../errors.ts'
import type { LogRecord } from '../transport/port.ts'
import type { StateAt } from './names.ts'

/** A `switch` is a generation that goes on with state that stands elsewhere: programs that know of none refuse it. */
export const KEY = {
  generation: 'generation',
  switch: 'switch',
  born: 'born',
  hold: 'hold',
} as const

/** A record in force. */
export interface Generation {
  readonly application: string
  /** Of views and table rows. */
  readonly generation: number
  /** Wall clock, ms. */
  readonly at: number
  readonly offset: number
  /** Where its state stands. */
  readonly state: StateAt
  /** What began it, `cutover NAME` or `rollback`; null: a first start or a reset. */
  readonly by: string | null
  /** Nothing is shown before the state has taken in what is below; undefined: it has. */
  readonly shownFrom: Positions | undefined
}

/** Next offset by input topic (without prefix) and partition. */
export type Positions = Readonly<Record<string, readonly number[]>>

/** For a while workers let go of everything and wait for another generation. */
export interface Hold {
  /** During which it was asked for. */
  readonly generation: number
  /** Tells it from others by the same. */
  readonly id: string
  /** Who asked for it, for a person to read. */
  readonly by: string
  /** Wall clock, ms: over by itself then. */
  readonly until: number
}

/** What a generation goes on with that begins with state which is there already. */
export interface Switch {
  readonly by: string
  readonly state: StateAt
  /** Names of the tasks that have state there. */
  readonly born: readonly string[]
  /** Where the state stood that is left, if this one stands below: see `Generation`. */
  readonly shownFrom?: Positions
}

export interface Journal {
  /** undefined: nothing has begun. */
  readonly current: Generation | undefined
  /** All that were ever in force, the current one last. */
  readonly history: readonly Generation[]
  /** Names of tasks that have state, in the current generation. */
  readonly born: ReadonlySet<string>
  /** The same of every generation there was. */
  readonly births: ReadonlyMap<number, ReadonlySet<string>>
  /** Kinds that had state, by generation. */
  readonly kinds: ReadonlyMap<number, ReadonlySet<string>>
  /** State under other prefixes that a generation was ever to go on with. */
  readonly elsewhere: readonly StateAt[]
  /** Not given back; over when the clock has come to its `until`. */
  readonly hold: Hold | undefined
}

export type JournalRecord =
  | {
      readonly kind: 'generation'
      readonly application: string
      readonly generation: number
      readonly at: number
      readonly follows: number
      readonly switched: Switch | undefined
    }
  | { readonly kind: 'born'; readonly generation: number; readonly task: string }
  | ({ readonly kind: 'hold'; readonly at: number } & Hold)

/** Takes records in, in the order of the log; `ownPrefix` is where state stands that no record places elsewhere. */
export class JournalReading {
  private readonly ownPrefix: string
  private readonly history: Generation[] = []
  private readonly born = new Map<number, Set<string>>()
  private readonly elsewhere = new Map<string, StateAt>()
  private hold: Hold | undefined

  constructor(ownPrefix: string) {
    this.ownPrefix = ownPrefix
  }

  /** Errors: CHANGELOG_CORRUPT with `where` for a record that can't be read. */
  take({ key, value, offset }: LogRecord, where: string): void {
    const record = parse(key, value, where)
    if (record.kind === 'born') this.birth(record.generation, record.task)
    else if (record.kind === 'hold') this.holdOf(record)
    else {
      const { kind, follows, switched, ...begun } = record
      const state = switched?.state ?? { prefix: this.ownPrefix, generation: begun.generation }
      if (state.prefix !== this.ownPrefix)
        this.elsewhere.set(`${state.generation} ${state.prefix}`, state)
      if (follows !== (this.history.at(-1)?.offset ?? -1)) return
      const { by = null, shownFrom } = switched ?? {}
      this.history.push({ ...begun, offset, state, by, shownFrom })
      this.hold = undefined
      for (const task of switched?.born ?? []) this.birth(begun.generation, task)
    }
  }

  journal(): Journal {
    const current = this.history.at(-1)
    return {
      current,
      history: [...this.history],
      born: new Set(this.born.get(current?.generation ?? -1)),
      births: new Map([...this.born].map(([generation, tasks]) => [generation, new Set(tasks)])),
      kinds: new Map([...this.born].map(([generation, tasks]) => [generation, kindsOf(tasks)])),
      elsewhere: [...this.elsewhere.values()],
      hold: this.hold,
    }
  }

  private birth(generation: number, task: string): void {
    const tasks = this.born.get(generation) ?? new Set()
    this.born.set(generation, tasks.add(task))
  }

  /** Of two that ask at once the first has it: the other's record is void until that one is over. */
  private holdOf({ kind, at, ...asked }: Extract<JournalRecord, { kind: 'hold' }>): void {
    if (asked.generation !== this.history.at(-1)?.generation) return
    const isTaken = this.hold !== undefined && this.hold.until > at
    if (isTaken && this.hold?.id !== asked.id) return
    this.hold = asked.until > at ? asked : undefined
  }
}

function parse(key: Buffer | null, value: Buffer | null, where: string): JournalRecord {
  try {
    const found = JSON.parse(String(value)) as Record<string, unknown>
    const { generation, at, follows, application, task, by, state, born, id, until, shownFrom } =
      found
    const kind = String(key)
    if (isCount(generation)) {
      if (kind === KEY.born && isText(task)) return { kind, generation, task }
      if (kind === KEY.hold && isCount(at) && isCount(until) && isText(id) && isText(by))
        return { kind, generation, id, by, until, at }
      if (isText(application) && isCount(at) && isCount(follows)) {
        const begun = { kind: 'generation', application, generation, at, follows } as const
        if (kind === KEY.generation) return { ...begun, switched: undefined }
        const isWhole = isState(state) && isText(by) && isTexts(born)
        if (kind === KEY.switch && isWhole && (shownFrom === undefined || isPositions(shownFrom)))
          return { ...begun, switched: { by, state, born, shownFrom } }
      }
    }
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
const isText = (value: unknown): value is string => typeof value === 'string'
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText)

function isPositions(value: unknown): value is Positions {
  const lists = Object.values(Object(value)) as unknown[]
  return lists.every(list => Array.isArray(list) && list.every(isCount))
}

function isState(value: unknown): value is StateAt {
  const { prefix, generation } = Object(value) as Record<string, unknown>
  return isText(prefix) && isCount(generation)
}

const kindsOf = (tasks: ReadonlySet<string>): ReadonlySet<string> =>
  new Set([...tasks].map(task => task.slice(0, task.lastIndexOf('-'))))
