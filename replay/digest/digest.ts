/**
 * Digests of the exact parts of a state: equal wherever the same records were taken in in each partition's order, whatever the
 * speed, the commits, the crashes and the workers. Each part is a hash of a bag of texts, which say what rows mean and nothing
 * of how they came about; so it is the same in whatever order rows are given.
 *
 *  - `sessions`: what user tasks keep of each user: sessions, plays, positives, exclusions, doubles, withdrawals.
 *  - `labels`: impressions that wait, and the labels that were given.
 *  - `counts`: whole numbers of each item, and positives by hour, cohort and minute.
 *  - `histograms`: integer counts of windows.
 *
 * A state between commits is compared with one that has come as far: packets under way are of neither (`digestOfLive`).
 * What is known in memory only stands in no row: users with consent `contextual`, whose plays may count twice after a crash.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import { lifeMs, newestOf, readPlay } from '../../topologies/drift/plays.ts'
import { driftUserStores } from '../../topologies/drift/user-stage.ts'
import type { TopologyName } from '../../topologies/main.ts'
import { type CountOptions, CountRows } from './count-rows.ts'
import { GivenLabels } from './given-labels.ts'
import { type HistogramOptions, HistogramRows } from './histogram-rows.ts'
import { UnorderedHash } from './unordered-hash.ts'
import { type UserOptions, UserRows } from './user-rows.ts'

/** A row as it stands in the end. `key`: without the store's number. */
export interface ExactRow {
  readonly kind: string
  readonly partition: number
  readonly store: number
  readonly key: Buffer
  readonly value: Buffer
}

/** In hex; null: its topology does not run. */
export interface Digests {
  readonly sessions: string
  readonly labels: string | null
  readonly counts: string | null
  readonly histograms: string | null
}

export const digestParts = ['sessions', 'labels', 'counts', 'histograms'] as const
export type DigestPart = (typeof digestParts)[number]

export type DigestOptions = UserOptions & CountOptions & HistogramOptions

const topologyOf = { labels: 'labels', counts: 'popularity', histograms: 'drift' } as const

type Say = (part: DigestPart, text: string) => void

/** Reads the rows of one task. */
interface TaskRows {
  take(row: ExactRow): void
  end(say: Say): void
}

/** Takes rows task by task: all of a task, then `endTask`. */
export class ExactDigest {
  private readonly options: DigestOptions
  private readonly topologies: ReadonlySet<TopologyName>
  private readonly hashes = {
    sessions: new UnorderedHash(),
    labels: new UnorderedHash(),
    counts: new UnorderedHash(),
    histograms: new UnorderedHash(),
  }
  private readonly onText: Say | undefined
  private tasks = new Map<string, TaskRows>()

  /** `onText`: told of each text that counts, to find out where two states differ. */
  constructor(options: DigestOptions, topologies: ReadonlySet<TopologyName>, onText?: Say) {
    this.options = options
    this.topologies = topologies
    this.onText = onText
  }

  take(row: ExactRow): void {
    const name = `${row.kind}-${row.partition}`
    let task = this.tasks.get(name)
    if (task === undefined) {
      task = taskRows(row.kind, this.options)
      this.tasks.set(name, task)
    }
    task.take(row)
  }

  /** No row of the tasks given so far comes any more. */
  endTask(): void {
    for (const task of this.tasks.values())
      task.end((part, text) => {
        this.hashes[part].add(text)
        this.onText?.(part, text)
      })
    this.tasks = new Map()
  }

  digests(): Digests {
    this.endTask()
    const of = (part: keyof typeof topologyOf): string | null =>
      this.topologies.has(topologyOf[part]) ? this.hashes[part].digest() : null
    return {
      sessions: this.hashes.sessions.digest(),
      labels: of('labels'),
      counts: of('counts'),
      histograms: of('histograms'),
    }
  }
}

/** The digests of rows in any order. Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER for rows that can't be read. */
export function exactDigest(
  rows: Iterable<ExactRow>,
  options: DigestOptions,
  topologies: ReadonlySet<TopologyName>,
): Digests {
  const digest = new ExactDigest(options, topologies)
  for (const row of rows) digest.take(row)
  return digest.digests()
}

function taskRows(kind: string, options: DigestOptions): TaskRows {
  if (kind === 'user') return userTask(options)
  if (kind === 'item') {
    const counts = new CountRows(options)
    return { take: row => counts.take(row), end: say => counts.end(text => say('counts', text)) }
  }
  if (kind === 'statistics') return statisticTask(options)
  return { take: () => undefined, end: () => undefined }
}

function userTask(options: DigestOptions): TaskRows {
  const users = new UserRows(options)
  const plays: { newest: number; text: string }[] = []
  let watermark = 0
  return {
    take(row) {
      const { store, key, value } = row
      if (store === driftUserStores.plays) {
        const play = readPlay(new ByteReader(value))
        const text = `play ${key.toString('hex')} ${JSON.stringify(play)}`
        plays.push({ newest: newestOf(play), text })
      } else if (store === driftUserStores.progress) watermark = new ByteReader(value).uint()
      else users.take(row)
    },
    end(say) {
      users.end(
        text => say('sessions', text),
        text => say('labels', text),
      )
      // the next heartbeat of a play changes windows, until the play is over
      for (const { newest, text } of plays)
        if (newest + lifeMs >= watermark) say('histograms', text)
    },
  }
}

function statisticTask(options: DigestOptions): TaskRows {
  const histograms = new HistogramRows(options)
  const given = new GivenLabels()
  return {
    take(row) {
      histograms.take(row)
      given.take(row)
    },
    end(say) {
      histograms.end(text => say('histograms', text))
      given.end(histograms.newest, text => say('labels', text))
    },
  }
}
