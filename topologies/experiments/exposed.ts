/** An exposed user of one experiment: since when, in which arm, and what came of it. ~250 B. */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { PositiveHistory } from '../user/user.ts'
import type { Outcome } from './metrics.ts'

/** Store numbers in the task kind `user`. On the log for ever. */
const stores = { exposed: 55 } as const

const DAY = 86_400_000
const beforeMs = 28 * DAY
const layout = 1

export class Exposed implements Row, Outcome {
  dirty = false
  removed = false
  readonly userId: string
  readonly experiment: string
  readonly arm: string
  /** Event time of the first impression that carried the arm, ms. */
  readonly exposedAt: number
  positivesBefore = 0
  daysBefore = 0
  impressions = 0
  restricted = 0
  labelled = 0
  clicked = 0
  plays = 0
  positives = 0
  watchedMs = 0
  sessions = 1
  closedSessions = 0
  closedMs = 0
  reports = 0
  days = 0
  returned = false
  lists = 0
  slowLists = 0
  /** The newest day with an event, and which of the 31 before it had one: bit k is the day k before. */
  private newestDay = 0
  private recentDays = 0
  /** A day has passed since the exposure, and what counts then was counted. */
  matured = false

  constructor(userId: string, experiment: string, arm: string, exposedAt: number) {
    this.userId = userId
    this.experiment = experiment
    this.arm = arm
    this.exposedAt = exposedAt
  }

  /** What is known of the time before the exposure: covariates that no arm can have changed. */
  lookBack(history: PositiveHistory): void {
    const days = new Set<number>()
    for (let k = 0; k < history.length; k++) {
      const at = history.at(k)
      if (at >= this.exposedAt || at < this.exposedAt - beforeMs) continue
      this.positivesBefore++
      days.add(Math.floor(at / DAY))
    }
    this.daysBefore = days.size
  }

  /** The user was active at `ts`. A day more than a month before the newest is not counted. */
  active(ts: number): void {
    const day = Math.floor(ts / DAY)
    const ahead = day - this.newestDay
    if (ahead > 0) {
      this.recentDays = ahead > 31 ? 1 : ((this.recentDays << ahead) | 1) >>> 0
      this.newestDay = day
      this.days++
      return
    }
    if (ahead < -31) return
    const bit = (1 << -ahead) >>> 0
    if ((this.recentDays & bit) !== 0) return
    this.recentDays = (this.recentDays | bit) >>> 0
    this.days++
  }

  get returnUntil(): number {
    return this.exposedAt + DAY
  }

  write(w: ByteWriter): void {
    w.u8(layout).string(this.arm).uint(this.exposedAt)
    w.uint(this.positivesBefore).uint(this.daysBefore)
    w.uint(this.impressions).uint(this.restricted).uint(this.labelled).uint(this.clicked)
    w.uint(this.plays).uint(this.positives).uint(this.watchedMs)
    w.uint(this.sessions).uint(this.closedSessions).uint(this.closedMs).uint(this.reports)
    w.uint(this.days).uint(this.newestDay).uint(this.recentDays)
    w.u8((this.returned ? 1 : 0) | (this.matured ? 2 : 0))
      .uint(this.lists)
      .uint(this.slowLists)
  }

  static read(userId: string, experiment: string, r: ByteReader): Exposed {
    r.u8()
    const row = new Exposed(userId, experiment, r.string(), r.uint())
    row.positivesBefore = r.uint()
    row.daysBefore = r.uint()
    row.impressions = r.uint()
    row.restricted = r.uint()
    row.labelled = r.uint()
    row.clicked = r.uint()
    row.plays = r.uint()
    row.positives = r.uint()
    row.watchedMs = r.uint()
    row.sessions = r.uint()
    row.closedSessions = r.uint()
    row.closedMs = r.uint()
    row.reports = r.uint()
    row.days = r.uint()
    row.newestDay = r.uint()
    row.recentDays = r.uint()
    const flags = r.u8()
    row.returned = (flags & 1) !== 0
    row.matured = (flags & 2) !== 0
    row.lists = r.uint()
    row.slowLists = r.uint()
    return row
  }
}

/** The exposed users of a task, by user. */
export class ExposedUsers {
  readonly store: Store<Exposed>
  /** How many users of each experiment there are. */
  readonly counts = new Map<string, number>()
  private readonly users = new Map<string, Exposed[]>()

  constructor() {
    this.store = new Store<Exposed>({
      id: stores.exposed,
      name: 'experiments-exposed',
      write: 'exact',
      writeKey: (row, w) => w.string(row.experiment).rawString(row.userId),
      writeValue: (row, w) => row.write(w),
      restore: (key, value) => {
        const experiment = key.string()
        const userId = key.rawString()
        this.take(userId, experiment)
        if (value !== null) this.put(Exposed.read(userId, experiment, value))
      },
    })
  }

  of(userId: string): readonly Exposed[] | undefined {
    return this.users.get(userId)
  }

  all(): IterableIterator<readonly Exposed[]> {
    return this.users.values()
  }

  add(row: Exposed): void {
    this.put(row)
    this.store.touch(row)
  }

  remove(row: Exposed): void {
    this.take(row.userId, row.experiment)
    this.store.remove(row)
  }

  private put(row: Exposed): void {
    const rows = this.users.get(row.userId)
    if (rows === undefined) this.users.set(row.userId, [row])
    else rows.push(row)
    this.counts.set(row.experiment, (this.counts.get(row.experiment) ?? 0) + 1)
  }

  private take(userId: string, experiment: string): void {
    const rows = this.users.get(userId)
    const at = rows?.findIndex(row => row.experiment === experiment) ?? -1
    if (rows === undefined || at < 0) return
    rows.splice(at, 1)
    if (rows.length === 0) this.users.delete(userId)
    const left = (this.counts.get(experiment) ?? 1) - 1
    if (left === 0) this.counts.delete(experiment)
    else this.counts.set(experiment, left)
  }
}
