/**
 * How fast an archive is replayed: `npx tsx replay/shadow/replay.bench.ts [RECORDS] [DIR]` after `npm run build`. Side by side
 * in one run: reading and decoding alone, then replays of the same archive, without Redis and ClickHouse. DIR keeps the archive
 * for another run.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { allOptions } from '../../bin/all-options.ts'
import { runReplay } from '../../bin/replay/run.ts'
import { Decoder } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ArchiveReader } from '../archive/reader.ts'
import { unpaced } from '../pace/pacer.ts'
import { makeArchive } from './bench-log.ts'
import { ReplayFolder } from './folder.ts'
import type { ReplaySpec } from './spec.ts'

const RECORDS = Number(process.argv[2] ?? 1_000_000)
const data = mkdtempSync(join(tmpdir(), 'freshet-replay-bench-'))
const archive = process.argv[3] ?? join(data, 'archive')
if (!existsSync(archive)) await makeArchive(archive, RECORDS, Math.ceil(RECORDS / 40))
const { values } = resolveOptions(allOptions, {
  flags: { 'data.dir': data, 'redis.url': 'none', 'clickhouse.url': 'none' },
  environment: {},
  file: {},
})

const rows: Record<string, Record<string, string | number>> = {}
const PEAK_MS = 500

async function measure(name: string, work: () => Promise<number>): Promise<void> {
  const cpu = process.cpuUsage()
  const begun = performance.now()
  let peak = 0
  const look = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss)
  }, PEAK_MS)
  const records = await work()
  clearInterval(look)
  const { user, system } = process.cpuUsage(cpu)
  rows[name] = {
    records,
    'records a second': Math.round((1000 * records) / (performance.now() - begun)),
    'CPU us a record, this process': ((user + system) / records).toFixed(2),
    'MB resident, this process': Math.round(peak / 2 ** 20),
  }
  console.log(name, JSON.stringify(rows[name]))
}

async function decodeAlone(): Promise<number> {
  const reader = ArchiveReader.open(archive)
  const decoder = new Decoder('events', reader.schemas())
  let count = 0
  for await (const run of reader.read({ topics: ['events'] }))
    for (const { value } of run) {
      const found = decoder.decode(value as Buffer)
      if ('needs' in found) await decoder.resolve(found.needs)
      count++
    }
  return count
}

let runs = 0
async function replay(topologies: string, workers: number): Promise<number> {
  const folder = new ReplayFolder(data, `bench${runs++}`)
  const ranges: ReplaySpec['ranges'] = Object.fromEntries(
    ArchiveReader.open(archive).manifest.topics.map(({ name, partitions }) => [
      name,
      partitions.map(({ start, next }) => [start, next] as const),
    ]),
  )
  await folder.create({
    ...{ format: 1, name: folder.name, created: 0, state: 'empty', set: {}, topologies, ranges },
    ...{ source: { kind: 'archive', dir: archive }, generation: 1, stepMs: 1000, backfill: null },
  })
  const around = { values, log: silentLogger, metrics: noMetrics }
  const how = { workers, pacer: unpaced, onStatus: () => undefined }
  await runReplay(around, folder, { ...how, signal: new AbortController().signal })
  const { records = 0 } = folder.status() ?? {}
  folder.remove()
  return records
}

const exact = 'sessions,labels,popularity,drift'
await measure('read and decode alone', decodeAlone)
await measure('read and decode alone, again', decodeAlone)
await measure('sessions + popularity', () => replay('sessions,popularity', 1))
await measure('sessions + popularity, 2 processes', () => replay('sessions,popularity', 2))
await measure(`exact (${exact})`, () => replay(exact, 1))
await measure(`exact (${exact}), 2 processes`, () => replay(exact, 2))
console.table(rows)
rmSync(data, { recursive: true })
process.exit()
