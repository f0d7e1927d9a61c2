/**
 * The newest events of each partition, judged by the very code that will read them: is the key the userId, the partition
 * murmur2 of the key, the value readable? What is wrong with a producer is said with the client's setting.
 */
import { Decoder, type SchemaSource } from '../../schemas/index.ts'
import { messageOf } from '../../streams/errors.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { TaskContext } from '../../streams/topology/stage.ts'
import type { LogRecord, TopicPartition, Transport } from '../../streams/transport/port.ts'
import { itemTableSpec } from '../../topologies/items/memory-table.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import { createUserDecode, type UserDecode } from '../../topologies/user/decode.ts'
import { count } from '../terminal.ts'
import { type Finding, ok, orOk, warning, wrong } from './finding.ts'
import { isInProcess } from './registry.ts'

const REGISTRY_MS = 5_000
/** Below this share it may be a stray record; from here on it is a producer. */
const GRAVE_SHARE = 0.01

export interface SampleSettings {
  readonly transport: Transport
  readonly topic: string
  readonly partitions: number
  /** Records a partition. */
  readonly perPartition: number
  readonly schemas: SchemaSource
  readonly registryUrl: string
  readonly options: TopologyOptions
}

interface Problem {
  records: number
  readonly example: string
}

interface Tally {
  records: number
  avro: number
  readonly problems: Map<string, Problem>
}

export async function sampleEvents(settings: SampleSettings): Promise<readonly Finding[]> {
  const tally: Tally = { records: 0, avro: 0, problems: new Map() }
  const decoder = new Decoder('events', settings.schemas)
  const places = Array.from({ length: settings.partitions }, (_, partition) => ({
    topic: settings.topic,
    partition,
  }))
  const offsets = await settings.transport.topics.offsets(places)
  for (const [i, at] of places.entries()) {
    const decode = decodeAt(at.partition, decoder, settings)
    const from = Math.max(offsets[i].start, offsets[i].end - settings.perPartition)
    for await (const record of readFrom(settings.transport, at, from, offsets[i].end)) {
      tally.records++
      if (record.value?.[0] === 0) tally.avro++
      const problem = await judge(record, decoder, decode)
      if (problem)
        note(
          tally,
          problem.code,
          `${at.topic}-${at.partition}@${record.offset}: ${problem.message}`,
        )
    }
  }
  return findings(tally, settings)
}

function decodeAt(
  partition: number,
  events: Decoder<'events'>,
  { partitions, schemas, options }: SampleSettings,
): UserDecode {
  const quiet = { now: Date.now, metrics: noMetrics, log: silentLogger }
  const items = itemTableSpec(options).create(quiet)
  const ctx: TaskContext = {
    kind: 'user',
    partition,
    partitionsOf: () => partitions,
    table: <T>() => items as T,
    ...quiet,
  }
  return createUserDecode(ctx, { events, erasures: new Decoder('erasures', schemas) })
}

async function* readFrom(
  transport: Transport,
  at: TopicPartition,
  from: number,
  end: number,
): AsyncGenerator<LogRecord> {
  for (let offset = from; offset < end; ) {
    const { batches, nextOffset } = await transport.read(at, offset, { maxWaitMs: 500 })
    for (const batch of batches)
      for (const record of batch.records)
        if (record.offset >= from && record.offset < end) yield record
    if (nextOffset <= offset) return
    offset = nextOffset
  }
}

async function judge(
  record: LogRecord,
  decoder: Decoder<'events'>,
  decode: UserDecode,
): Promise<{ code: string; message: string } | undefined> {
  const value = decoder.decode(record.value)
  if ('needs' in value)
    try {
      await decoder.resolve(value.needs, AbortSignal.timeout(REGISTRY_MS))
    } catch (error) {
      return { code: 'NOT_JUDGED', message: decoder.waiting() ?? messageOf(error) }
    }
  const decoded = decode('events', record)
  return typeof decoded === 'object' && 'bad' in decoded
    ? { code: decoded.bad, message: decoded.message }
    : undefined
}

function note(tally: Tally, code: string, example: string): void {
  const known = tally.problems.get(code)
  if (known) known.records++
  else tally.problems.set(code, { records: 1, example })
}

const KEYS = 'send the raw UTF-8 of the userId as the record key'

const remedies: Readonly<Record<string, string>> = {
  KEY_MISSING: KEYS,
  KEY_MISMATCH: KEYS,
  KEY_FRAMED:
    "give the producer a plain string serializer for keys (Java: key.serializer=StringSerializer); the schema registry's is for values",
  PARTITION_MISMATCH:
    'set partitioner=murmur2_random in librdkafka clients (Go, Python, .NET), a custom partitioner in sarama; Java, kafkajs and franz-go have it so by default (docs/publishing.md)',
  SCHEMA_UNKNOWN:
    'set FRESHET_SCHEMA_REGISTRY_URL to the registry that the producer registers with',
  SCHEMA_INCOMPATIBLE: "let the producer write a record of schemas/avro's name and fields",
  NOT_JUDGED: 'start the schema registry, or set FRESHET_SCHEMA_REGISTRY_URL',
}

function findings(tally: Tally, { topic, registryUrl }: SampleSettings): readonly Finding[] {
  const check = 'events'
  if (tally.records === 0) return [ok(check, `${topic} is empty: nothing to look at`)]
  const found: Finding[] = []
  if (tally.avro > 0 && isInProcess(registryUrl))
    found.push(
      wrong(
        check,
        `${share(tally.avro, tally.records)} of the newest events are Avro, and no schema registry is named: they all go to the dead letters`,
        'set FRESHET_SCHEMA_REGISTRY_URL to the registry that the producers use',
      ),
    )
  for (const [code, { records, example }] of tally.problems) {
    const report = records / tally.records >= GRAVE_SHARE ? wrong : warning
    found.push(
      report(
        check,
        `${code}: ${share(records, tally.records)} of the newest ${count(tally.records)} events; ${example}`,
        remedies[code] ?? 'mend the producer: docs/publishing.md says what an event must have',
      ),
    )
  }
  return orOk(
    found,
    check,
    `the newest ${count(tally.records)} events are readable, with the right keys on the right partitions`,
  )
}

const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)}%`
