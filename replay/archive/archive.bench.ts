/**
 * What an archive costs: `npx tsx replay/archive/archive.bench.ts [RECORDS]`. An embedded log of half impressions, half watches
 * in 4 partitions is archived, read back, and decoded; beside that, decoding alone: the same values, in memory. CPU time
 * counts, as the machine is shared; the best of five rounds.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decoder, Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import { archive } from './archiver.ts'
import { codecs } from './format.ts'
import { ArchiveReader } from './reader.ts'
import { verify } from './verify.ts'

const RECORDS = Number(process.argv[2] ?? 400_000)
const ROUNDS = 5
const HOUR = 3_600_000
const registry = new SchemaRegistry({ url: 'mock://bench' })
const encoder = await Encoder.open(registry, 'freshet.')
const topics = [{ name: 'events', topic: 'freshet.events', compacted: false }]

let seed = 7
/** A hash's digits: ids that do not compress, as in life. */
const digits = (): string => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed.toString(16).padStart(8, '0')
}

function value(n: number, userId: string): Buffer {
  const shared = {
    eventId: `${digits()}-${digits()}-${digits()}`,
    userId,
    itemId: `item-${(n * 104729) % 20_000}`,
    ts: 1_790_000_000_000 + n * 37,
    cohort: 'de-young',
    context: { device: 'tv', hour: String(n % 24), network: 'wifi' },
    consent: 'full' as const,
  }
  if (n % 2 === 0)
    return encoder.encode('Watch', {
      ...shared,
      playId: `play-${digits()}`,
      seq: n % 8,
      watchedMs: 10_000 * (n % 8),
      durationMs: 100_000,
    })
  return encoder.encode('Impression', {
    ...shared,
    requestId: `req-${digits()}`,
    position: n % 20,
    slateSize: 20,
    policy: 'blend-pl@3',
    modelVersion: 'abcdef123456',
    listVersion: `000001-0000000000001234-${String(n >> 3).padStart(10, '0')}`,
    listIndex: n % 20,
    candidateSource: 'covisit',
    score: 1 / (1 + (n % 97)),
    propensity: 1 / (1 + (n % 89)),
  })
}

const folder = mkdtempSync(join(tmpdir(), 'freshet-archive-bench-'))
const transport = createEmbeddedTransport({ memory: true })
await transport.topics.create([
  { topic: 'freshet.events', partitions: 4, config: { 'retention.ms': '-1' } },
])
const publisher = transport.publisher()
const values: Buffer[] = []
let bytes = 0
for (let n = 0; n < RECORDS; ) {
  const records = []
  for (let i = 0; i < 1000 && n < RECORDS; i++, n++) {
    const user = `user-${parseInt(digits(), 16) % 20_000}`
    const made = value(n, user)
    bytes += made.length
    if (values.length < 100_000) values.push(made)
    records.push({
      key: Buffer.from(user),
      value: made,
      timestamp: 1_790_000_000_000 + Math.floor((n / RECORDS) * 6 * HOUR),
    })
  }
  await publisher.send('freshet.events', records)
}
console.log(
  `${RECORDS} records, ${Math.round(bytes / RECORDS)} bytes a value, Node ${process.version}`,
)

const rows: Record<string, Record<string, string | number>> = {}
async function measure(name: string, records: number, work: () => Promise<number>) {
  let best = Number.POSITIVE_INFINITY
  let fastest = Number.POSITIVE_INFINITY
  let peak = 0
  for (let round = 0; round < ROUNDS; round++) {
    const cpu = process.cpuUsage()
    const begun = performance.now()
    const done = await work()
    if (done !== records) throw new Error(`${name}: ${done} records, ${records} expected`)
    fastest = Math.min(fastest, performance.now() - begun)
    const { user, system } = process.cpuUsage(cpu)
    best = Math.min(best, user + system)
    peak = Math.max(peak, process.memoryUsage().rss)
  }
  rows[name] = {
    'CPU us a record': (best / records).toFixed(2),
    'records a second': Math.round((1000 * records) / fastest),
    'MB resident': Math.round(peak / 2 ** 20),
  }
  return best / records
}

const decoder = new Decoder('events', registry)
const prepare = async (): Promise<void> => {
  for (const one of values.slice(0, 2)) {
    const found = decoder.decode(one)
    if ('needs' in found) await decoder.resolve(found.needs)
  }
}
await prepare()
const alone = await measure('decode alone, values in memory', values.length, async () => {
  let n = 0
  for (const one of values) if ('record' in decoder.decode(one)) n++
  return n
})

for (const codec of codecs) {
  const dir = join(folder, codec)
  await measure(`archive (${codec})`, RECORDS, async () => {
    rmSync(dir, { recursive: true, force: true })
    const settings = { dir, transport, topics, source: registry, codec }
    return (await archive({ ...settings, clock: systemClock, log: silentLogger })).records
  })
  const reader = ArchiveReader.open(dir)
  rows[`archive (${codec})`]['bytes a record'] = (reader.size({}).bytes / RECORDS).toFixed(1)
  await measure(`read (${codec})`, RECORDS, async () => {
    let n = 0
    for await (const run of reader.read()) n += run.length
    return n
  })
  const both = await measure(`read and decode (${codec})`, RECORDS, async () => {
    let n = 0
    for await (const run of reader.read())
      for (const record of run) if ('record' in decoder.decode(record.value)) n++
    return n
  })
  rows[`read and decode (${codec})`]['of decoding alone'] = `${Math.round((100 * alone) / both)}%`
  await measure(`verify (${codec})`, RECORDS, async () => (await verify(dir)).records)
}
console.table(rows)
await transport.close()
rmSync(folder, { recursive: true })
