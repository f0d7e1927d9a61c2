/**
 * Services for tests. `kafkaBrokers()` and `redisUrl()` give what the whole test run shares, started when the first test
 * asks; `startKafka()` and `startRedis()` start one's own, for tests that kill it. KAFKA_BROKERS, REDIS_URL,
 * CLICKHOUSE_URL and SCHEMA_REGISTRY_URL name services that run already.
 */
import fs from 'node:fs'
import path from 'node:path'
import { inject } from 'vitest'
import { startKafka } from './kafka.ts'
import { readIfThere, withLock } from './processes.ts'
import { startRedis } from './services-redis.ts'

export { type KafkaService, startKafka } from './kafka.ts'
export { type RedisService, startRedis } from './services-redis.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** The folder of this run's services; `global-setup.ts` ends them all. */
    servicesFolder: string
  }
}

/** The first to ask starts the service; the others, in whatever process, find its address in a file. */
async function shared(name: string, start: (run: string) => Promise<string>): Promise<string> {
  const run = inject('servicesFolder')
  const addressFile = path.join(run, `${name}.address`)
  const known = readIfThere(addressFile)
  if (known) return known
  return withLock(path.join(run, `${name}.lock`), async () => {
    const startedMeanwhile = readIfThere(addressFile)
    if (startedMeanwhile) return startedMeanwhile
    const address = await start(run)
    fs.writeFileSync(`${addressFile}.new`, address)
    fs.renameSync(`${addressFile}.new`, addressFile)
    return address
  })
}

/** The shared broker, host:port. Tests keep apart by topics of their own: `uniqueName`. */
export const kafkaBrokers = (): Promise<string> =>
  shared('kafka', async run => (await startKafka({ run })).brokers)

/** The shared Redis. Tests keep apart by key prefixes of their own. */
export const redisUrl = (): Promise<string> =>
  shared('redis', async run => (await startRedis({ run })).url)

let names = 0

/** A name that no other test of this or another run has. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${process.pid}-${Date.now().toString(36)}-${names++}`
}
