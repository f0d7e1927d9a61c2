/**
 * `npm run services`: Kafka, Redis and a schema registry on fixed ports for the README's walk-through, until Ctrl-C.
 * Prints the variables that `freshet` reads. Everything is gone afterwards.
 */
import fs from 'node:fs'
import { startKafka } from './kafka.ts'
import { runFolder, sweepAbandoned, sweepRun } from './processes.ts'
import { startRegistry } from './registry.ts'
import { startRedis } from './services-redis.ts'

const KAFKA_PORT = 29092
const REDIS_PORT = 26379
const REGISTRY_PORT = 28081

async function main(): Promise<void> {
  await sweepAbandoned()
  const run = runFolder()
  fs.mkdirSync(run, { recursive: true })
  let ending: Promise<void> | undefined
  const end = (code: number): Promise<void> => {
    ending ??= sweepRun(run).then(() => process.exit(code))
    return ending
  }
  process.on('SIGINT', () => void end(0))
  process.on('SIGTERM', () => void end(0))
  try {
    process.stderr.write('starting Kafka, Redis and a schema registry ...\n')
    const [kafka, redis, registry] = await Promise.all([
      startKafka({ run, port: KAFKA_PORT }),
      startRedis({ run, port: REDIS_PORT }),
      process.env.SCHEMA_REGISTRY_URL
        ? { url: process.env.SCHEMA_REGISTRY_URL }
        : startRegistry(REGISTRY_PORT),
    ])
    process.stdout.write(
      `export FRESHET_KAFKA_BROKERS=${kafka.brokers}\n` +
        `export FRESHET_REDIS_URL=${redis.url}\n` +
        `export FRESHET_SCHEMA_REGISTRY_URL=${registry.url}\n` +
        `export FRESHET_CLICKHOUSE_URL=${process.env.CLICKHOUSE_URL ?? 'chdb:.freshet/clickhouse'}\n`,
    )
    process.stderr.write('ready; Ctrl-C ends them and removes what they hold\n')
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
    await end(1)
  }
}

await main()
