/**
 * Watches Redis while faults happen: C5, no value ever goes back to an older version. Reads every session's and every
 * home list's version again and again, through a connection of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const VERSION_AT = '{"version":"'.length
const VERSION_LENGTH = 6 + 1 + 16 + 1 + 10

export interface VersionWatch {
  /** Versions read so far. */
  readonly reads: () => number
  /** Redis was emptied on purpose: what is written from now on is compared with nothing older. */
  forget(): void
  /** Ends the watch; each time that a version went back, as a sentence. */
  stop(): Promise<string[]>
}

export function watchVersions(url: string, prefix: string, users: readonly string[]): VersionWatch {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, retryStrategy: () => 200 })
  // an outage is what some runs are about: the next look tells
  redis.on('error', () => undefined)
  const last = new Map<string, string>()
  const wentBack: string[] = []
  let reads = 0
  let going = true
  let epoch = 0
  const look = async (): Promise<void> => {
    const begun = epoch
    const pipeline = redis.pipeline()
    const keys = users.flatMap(user => [`session:${user}`, `topk:home:u:${user}`])
    for (const key of keys)
      if (key.startsWith('session:')) pipeline.hget(prefix + key, 'version')
      else pipeline.getrange(prefix + key, VERSION_AT, VERSION_AT + VERSION_LENGTH - 1)
    const found = (await pipeline.exec()) ?? []
    if (begun !== epoch) return
    keys.forEach((key, i) => {
      const version = found[i][1]
      if (typeof version !== 'string' || version === '') return
      reads++
      const before = last.get(key)
      if (before !== undefined && version < before)
        wentBack.push(`${key} went back from ${before} to ${version}`)
      last.set(key, version)
    })
  }
  const watching = (async () => {
    while (going) {
      await look().catch(() => undefined)
      await sleep(250)
    }
  })()
  return {
    reads: () => reads,
    forget: () => {
      epoch++
      last.clear()
    },
    stop: async () => {
      going = false
      await watching
      redis.disconnect()
      return wentBack
    },
  }
}
