/**
 * Restore: a changelog of users, written by the real user task commit by commit, and a fresh process that restores all of
 * its tasks from a broker that is ready. Each user has watched `items` films to their end within one session.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { silentLogger } from '../../streams/log.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { internalTopics } from '../../streams/runtime/topics.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { CurrentEvent } from '../../topologies/user/current-event.ts'
import { openItems, openTask } from './restore-task.ts'

export interface RestoreSettings {
  readonly brokers: string
  readonly prefix: string
  readonly users: number
  readonly items: number
  readonly partitions: number
}

export interface RestoreResult {
  readonly seconds: number
  /** User and system; system alone. */
  readonly cpuSeconds: number
  readonly systemSeconds: number
  readonly users: number
  readonly rows: number
  /** Keys and values. */
  readonly changelogMb: number
  /** Resident before the first read, after the last task was restored, and the largest there was. */
  readonly emptyMb: number
  readonly residentMb: number
  readonly peakMb: number
  readonly heapMb: number
  readonly buffersMb: number
}

const START = 1_790_000_000_000
const CATALOG = 20_000
/** Watches of a user follow each other within the gap. */
const STEP_MS = 151_000
/** As many as a task commits at 10,000 users a second. */
const COMMIT_USERS = 1000
const COMMITS_UNDER_WAY = 4

const padded = (prefix: string, n: number, width: number): string =>
  prefix + String(n).padStart(width, '0')

/** Writes what user tasks write for these users, and gives the topic. */
export async function fillChangelog(settings: RestoreSettings): Promise<string> {
  const { brokers, prefix, users, partitions } = settings
  const transport = await createKafkaTransport({
    brokers: [brokers],
    clientId: 'bench',
    log: silentLogger,
  })
  const names = topicNames(prefix, 1)
  const event = new CurrentEvent()
  const items = openItems()
  const kind = { name: 'user', inputs: ['events'], deltas: false } as never
  const specs = internalTopics(
    { kinds: [kind], tables: [] },
    names,
    new Map([['user', partitions]]),
  )
  await transport.topics.create(specs)
  const topic = names.changelog('user')
  const watch = {
    eventId: '',
    playId: '',
    seq: 1,
    watchedMs: 0,
    durationMs: 100_000,
    endReason: 'finished' as const,
    cohort: '',
    surface: 'home',
  }
  event.kind = 'watch'
  event.consent = 'full'
  event.event = watch as never
  for (let partition = 0; partition < partitions; partition++) {
    const { core } = openTask(partition, items, () => ({ ok: event.asEvent() }))
    const producerId = await transport.newProducerId()
    const writer = transport.writer({ producerId, epoch: 0, deadlineMs: 60_000 })
    let appends: Promise<unknown>[] = []
    const commit = async (): Promise<void> => {
      const made = core.commit()
      if (made) appends.push(writer.append({ topic, partition }, made.batch))
      core.delivered()
      while (core.tick(5));
      if (appends.length < COMMITS_UNDER_WAY) return
      await Promise.all(appends)
      appends = []
    }
    let offset = 0
    for (let user = partition; user < users; user += partitions) {
      event.userId = padded('u', user, 7)
      for (let k = 0; k < settings.items; k++) {
        watch.eventId = `0192f8a4-1c2b-7abc-8def-${user}-${k}`
        watch.playId = `play-${user}-${k}`
        watch.watchedMs = 60_000 + ((user * 31 + k * 977) % 40_000)
        event.item = items.index(padded('i', (user * 7919 + k * 104_729) % CATALOG, 6))
        event.offset = offset
        event.ts = event.recordTs = START + user + k * STEP_MS + ((user * k * 37) % 60_000)
        event.clearFacts()
        core.process('events', {
          offset: offset++,
          timestamp: event.ts,
          key: null,
          value: null,
          headers: [],
        })
      }
      if (user % (COMMIT_USERS * partitions) === partition || core.full) await commit()
    }
    await commit()
    await Promise.all(appends)
  }
  await transport.close()
  return topic
}

/** Restores once, in a process of its own. */
export async function restoreOnce(
  settings: RestoreSettings,
  topic: string,
): Promise<RestoreResult> {
  const child = join(import.meta.dirname, 'restore-process.ts')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...(process.env.FRESHET_BENCH_NODE_OPTIONS?.split(' ') ?? []),
      '--import',
      'tsx',
      child,
      settings.brokers,
      topic,
      String(settings.partitions),
    ],
    { maxBuffer: 1 << 24 },
  )
  return JSON.parse(stdout.trim().split('\n').at(-1) as string) as RestoreResult
}
