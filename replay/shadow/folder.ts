/** A replay's folder: what it is, how far it came, what state it has (docs/replay.md names the files). */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { nodeDisk, REPLAY, replaceFile } from '../archive/disk.ts'
import type { ReplaySpec } from './spec.ts'
import type { Step } from './steps.ts'
import { type LogMark, readLog } from './task-log.ts'

/** A consistent cut: all tasks' logs, what was under way between them, and where the input stands. */
export interface Checkpoint {
  readonly number: number
  /** Wall clock, ms. */
  readonly at: number
  readonly logs: Readonly<Record<string, LogMark>>
  /** Packets that were sent and not yet taken in, base64. */
  readonly packets: readonly { from: string; kind: string; partition: number; value: string }[]
  /** The step that was done last. */
  readonly step: Step | null
  readonly counts: ReplayCounts
  readonly done: boolean
}

export interface ReplayCounts {
  readonly records: number
  readonly deadLetters: number
}

export type ReplayState = 'running' | 'paused' | 'done' | 'failed'

/** What a replay tells of itself, written each second. */
export interface ReplayStatus extends ReplayCounts {
  readonly state: ReplayState
  /** Wall clock, ms. */
  readonly at: number
  readonly pid: number
  /** Event time that it has come to, ms; null before the first record. */
  readonly position: number | null
  /** Records that are to be read in all, about. */
  readonly total: number
  /** Records a second over the last seconds. */
  readonly rate: number
  /** Why it goes no faster: 'live lag 12,000', 'speed', 'Redis ... since'; null where nothing holds it. */
  readonly held: string | null
  /** Why it failed. */
  readonly error: string | null
}

export class ReplayFolder {
  readonly dir: string
  readonly name: string

  constructor(dataDir: string, name: string) {
    this.name = name
    this.dir = join(dataDir, 'replays', name)
  }

  /** All replays below a data folder. */
  static all(dataDir: string): ReplayFolder[] {
    const folder = join(dataDir, 'replays')
    if (!existsSync(folder)) return []
    return readdirSync(folder)
      .sort()
      .map(name => new ReplayFolder(dataDir, name))
      .filter(one => one.exists)
  }

  get stateDir(): string {
    return join(this.dir, 'state')
  }

  get exists(): boolean {
    return existsSync(join(this.dir, 'replay.json'))
  }

  /** Errors: CALL_INVALID where the name is in use. */
  async create(spec: ReplaySpec): Promise<void> {
    if (this.exists)
      throw new FreshetError(
        'CALL_INVALID',
        `there is a replay ${this.name} already (${this.dir}); \`freshet replay resume ${this.name}\` goes on with it, \`freshet replay rm ${this.name}\` removes it`,
      )
    mkdirSync(this.stateDir, { recursive: true })
    await this.put('replay.json', spec)
  }

  /** Errors: CALL_INVALID where there is none. */
  spec(): ReplaySpec {
    const spec = this.get<ReplaySpec>('replay.json')
    if (spec === undefined)
      throw new FreshetError(
        'CALL_INVALID',
        `there is no replay ${this.name} (${this.dir}); \`freshet replay list\` names those that there are`,
      )
    return spec
  }

  /**
   * Lets one that is done go on: to further ends of its input, from another source where one is given.
   * Errors: BUG for an end that lies before what is read already.
   */
  async extend(ranges: ReplaySpec['ranges'], source?: ReplaySpec['source']): Promise<void> {
    const spec = this.spec()
    for (const [topic, parts] of Object.entries(spec.ranges))
      parts.forEach(([, to], partition) => {
        const next = ranges[topic]?.[partition]?.[1] ?? to
        if (next < to)
          throw new FreshetError(
            'BUG',
            `replay ${this.name} has read ${topic}-${partition} to ${to}, it can't end at ${next}`,
          )
      })
    // first that it is not done: ended between the two, it must not look as if it had read up to the new ends
    const checkpoint = this.checkpoint()
    if (checkpoint) await this.putCheckpoint({ ...checkpoint, done: false })
    await this.put('replay.json', {
      ...spec,
      source: source ?? spec.source,
      ranges: { ...spec.ranges, ...ranges },
    })
  }

  checkpoint(): Checkpoint | undefined {
    return this.get<Checkpoint>('checkpoint.json')
  }

  async putCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await this.put('checkpoint.json', checkpoint)
  }

  status(): ReplayStatus | undefined {
    return this.get<ReplayStatus>('status.json')
  }

  async putStatus(status: ReplayStatus): Promise<void> {
    await this.put('status.json', status)
  }

  get pauseAsked(): boolean {
    return existsSync(join(this.dir, 'pause'))
  }

  askPause(on: boolean): void {
    if (on) writeFileSync(join(this.dir, 'pause'), '')
    else rmSync(join(this.dir, 'pause'), { force: true })
  }

  /** The changelog batches of a task as of the last checkpoint. */
  *batches(task: string) {
    const mark = this.checkpoint()?.logs[task]
    if (mark) yield* readLog(this.stateDir, task, mark)
  }

  /** What a start left that was killed before there was a replay: a checkpoint of a copied state would be taken for its own. */
  removeLeftovers(): void {
    if (this.exists || !existsSync(this.dir)) return
    for (const name of readdirSync(this.dir))
      if (!name.startsWith('lock')) rmSync(join(this.dir, name), { recursive: true, force: true })
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }

  private async put(file: string, value: unknown): Promise<void> {
    await replaceFile(nodeDisk(this.dir, REPLAY), file, Buffer.from(`${JSON.stringify(value)}\n`))
  }

  private get<T>(file: string): T | undefined {
    const path = join(this.dir, file)
    if (!existsSync(path)) return undefined
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as T
    } catch (error) {
      throw new FreshetError(
        'CHANGELOG_CORRUPT',
        `${path} can't be read (${messageOf(error)}): it was changed by hand; remove the replay with \`freshet replay rm ${this.name}\` and begin anew`,
        error,
      )
    }
  }
}
