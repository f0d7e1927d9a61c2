/** `freshet archive`, with `verify` and `erase`. */
import { type ArchiveReport, archive } from '../../replay/archive/archiver.ts'
import { erase } from '../../replay/archive/erase.ts'
import { type Codec, codecs } from '../../replay/archive/format.ts'
import { spanMs } from '../../replay/archive/hours.ts'
import { ArchiveReader } from '../../replay/archive/reader.ts'
import type { ArchivedTopic, From } from '../../replay/archive/start.ts'
import { ofUsers, recordsOf } from '../../replay/archive/theirs.ts'
import { type VerifyReport, verify } from '../../replay/archive/verify.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { pseudonym } from '../../topologies/labels/pseudonym.ts'
import { action, answer, type Call, command, EXIT, momentOf } from '../call.ts'
import { isEmbedded, namesOf, openRegistry, openTransport, REACH_MS } from '../compose.ts'
import { createLogger } from '../logger.ts'
import { bytes, count, Progress, paint, plural, table } from '../terminal.ts'
import { outsideTopics } from '../topics.ts'

/** What a replay of the recommender reads. */
const DEFAULT_TOPICS = ['events', 'items', 'erasures']

export function archiveCommand() {
  const check = command(
    'verify <dir>',
    'Proves that an archive is whole: every file as the manifest says, every offset in one of them or known not to be on the log',
    'freshet archive verify /backup/freshet',
  ).action(action(verifyArchive))
  const forget = command(
    'erase <user>',
    "Takes a user's records out of an archive's files, which are written anew without them",
    'freshet archive erase user-17 --in /backup/freshet',
  )
    .option('--in <dir>', "the archive's folder")
    .action(action(eraseUser))
  return command(
    'archive',
    'Topics into Avro files by partition and hour, which any Avro tool reads; the same call again goes on where it stood',
    'freshet archive --to /backup/freshet --topic events,items,erasures --follow',
  )
    .option('--to <dir>', 'folder of the archive; made if absent')
    .option(
      '--topic <names>',
      `topics without their prefix, or whole names; their order decides between equal times (default: ${DEFAULT_TOPICS.join(',')})`,
    )
    .option(
      '--from <time|offset>',
      "where a new archive begins: ISO-8601, an offset of every partition, or earliest (the default); compacted topics always begin at the log's start",
    )
    .option('--follow', 'go on until SIGTERM instead of ending at the end of the log', false)
    .option(
      '--keep <span>',
      'remove files whose hour ended longer ago, e.g. 90d or 36h; files of compacted topics stay',
    )
    .option('--codec <name>', `${codecs.join(' or ')}, for a new archive (default: deflate)`)
    .option(
      '--accept-loss',
      'go on behind records that left the log before they were archived, and note it',
      false,
    )
    .action(action(writeArchive))
    .addCommand(check)
    .addCommand(forget)
}

async function writeArchive(call: Call): Promise<number> {
  const { values, flags } = call
  const dir = required(flags.to, 'to', 'the folder of the archive')
  const follow = flags.follow === true
  if (follow && isEmbedded(values))
    throw new FreshetError(
      'CALL_INVALID',
      '--follow needs Kafka: an embedded log shows another process only what stood there when it was opened; leave --follow out and call again for what came since',
    )
  const from = parseFrom(flags.from)
  const codec = parseCodec(flags.codec)
  const keepMs = parseKeep(flags.keep)
  const log = createLogger(values['log.level'])
  const signal = stopSignal()
  const around = { values, log, metrics: noMetrics }
  const transport = await openTransport(around, REACH_MS, true)
  const registry = await openRegistry(around)
  const progress = new Progress('archive')
  try {
    const topics = await topicsOf(call, transport, log)
    const report = await archive({
      dir,
      transport,
      topics,
      source: registry,
      clock: systemClock,
      log,
      from,
      codec,
      follow,
      keepMs,
      acceptLoss: flags.acceptLoss === true,
      signal,
      onProgress: (records, total) => progress.update(records, total),
    })
    progress.end(report.records)
    answer(
      call,
      () => machineReport(report),
      () => text(dir, report),
    )
    return report.schemaProblem === undefined ? EXIT.done : EXIT.checkFailed
  } finally {
    registry.close()
    await transport.close()
  }
}

function machineReport({ manifest, records, removed, heldBack, schemaProblem }: ArchiveReport) {
  return {
    archive: manifest.id,
    records,
    removed,
    heldBack,
    schemaProblem: schemaProblem ?? null,
    files: manifest.files.length,
    bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
    topics: manifest.topics,
  }
}

function text(dir: string, { manifest, records, removed, heldBack, schemaProblem }: ArchiveReport) {
  const rows = manifest.topics.map(({ name, partitions }) => {
    const files = manifest.files.filter(file => file.topic === name)
    return [
      name,
      partitions.length,
      files.length,
      files.reduce((sum, file) => sum + file.records, 0),
      bytes(files.reduce((sum, file) => sum + file.bytes, 0)),
      partitions.map(({ kept, next }) => (next > kept ? `${kept}-${next - 1}` : 'none')).join(' '),
    ]
  })
  return [
    table([['topic', 'partitions', 'files', 'records', 'size', 'offsets'], ...rows]),
    `${plural(records, 'record')} came to ${dir}${removed > 0 ? `; ${plural(removed, 'file')} older than --keep removed` : ''}`,
    ...heldBack.map(
      ({ at, taken, end }) =>
        `${at.topic}-${at.partition} was taken up to ${taken} of ${end}: an open transaction holds back the rest`,
    ),
    ...(schemaProblem === undefined
      ? []
      : [
          paint(
            'red',
            `schemas are missing, call again while the registry answers: ${schemaProblem}`,
          ),
        ]),
  ].join('\n')
}

/** [] where the archive's own count. */
async function topicsOf(
  { values, flags }: Call,
  transport: Transport,
  log: Logger,
): Promise<ArchivedTopic[]> {
  const dir = String(flags.to)
  const given = typeof flags.topic === 'string' ? flags.topic.split(',').map(one => one.trim()) : []
  if (given.length === 0 && isArchive(dir)) return []
  const names = namesOf(values)
  const topics = (given.length === 0 ? DEFAULT_TOPICS : given).map(name => {
    const known = outsideTopics.find(one => one.name === name || names.outside(one.name) === name)
    if (known === undefined)
      return { name: folderName(name), topic: name, policy: undefined as string | undefined }
    const policy = known.config['cleanup.policy']
    return { name: known.name, topic: names.outside(known.name), policy }
  })
  if (new Set(topics.map(one => one.name)).size < topics.length)
    throw new FreshetError(
      'CALL_INVALID',
      `--topic got ${String(flags.topic)}: a topic stands there twice`,
    )
  const facts = await transport.facts?.(topics.map(one => one.topic)).catch((error: unknown) => {
    log.warn({ error: String(error) }, "the cluster does not tell the topics' cleanup.policy")
    return undefined
  })
  return topics.map(({ name, topic, policy }) => ({
    name,
    topic,
    compacted: (facts?.topics.get(topic)?.['cleanup.policy'] ?? policy ?? '').includes('compact'),
  }))
}

/** Kafka's names hold letters, digits, `.`, `_` and `-`: a folder's name but for two. Errors: CALL_INVALID. */
function folderName(topic: string): string {
  if (/^[\w.-]{1,249}$/.test(topic) && !/^\.{1,2}$/.test(topic) && topic !== 'schemas') return topic
  throw new FreshetError(
    'CALL_INVALID',
    `--topic got ${JSON.stringify(topic)}; it takes names of topics, separated by commas`,
  )
}

function isArchive(dir: string): boolean {
  try {
    ArchiveReader.open(dir)
    return true
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'CALL_INVALID') return false
    throw error
  }
}

async function verifyArchive(call: Call, dir: string): Promise<number> {
  const progress = new Progress('verify')
  const report = await verify(dir, (records, total) => progress.update(records, total))
  progress.end(report.records)
  answer(call, report, () => verifyText(dir, report))
  return report.ok ? EXIT.done : EXIT.checkFailed
}

/** Faults that are printed; --json has all. */
const MOST_FAULTS = 50

function verifyText(dir: string, report: VerifyReport): string {
  const { faults } = report
  const rows = report.partitions.map(one => [
    `${one.topic}-${one.partition}`,
    one.files,
    one.records,
    one.absent,
    one.erased,
    one.next > one.kept ? `${one.kept} to ${one.next - 1}` : 'none',
  ])
  return [
    table([['partition', 'files', 'records', 'not on the log', 'erased', 'offsets'], ...rows]),
    ...report.notes.map(note => `note: ${note}`),
    ...faults.slice(0, MOST_FAULTS).map(one => `${paint('red', one.kind)}: ${one.message}`),
    ...(faults.length > MOST_FAULTS
      ? [`${count(faults.length - MOST_FAULTS)} more, --json has all`]
      : []),
    report.ok
      ? `${dir} is whole: ${plural(report.records, 'record')} in ${plural(report.files, 'file')}, ${bytes(report.bytes)}`
      : paint('red', `${dir} is not whole: ${plural(faults.length, 'fault')}`),
  ].join('\n')
}

async function eraseUser(call: Call, user: string): Promise<number> {
  const { values, flags } = call
  const dir = required(flags.in, 'in', 'the folder of the archive')
  const reader = ArchiveReader.open(dir)
  const progress = new Progress('erase')
  const { erasure } = await erase({
    dir,
    pseudonym: pseudonym(user, values['privacy.pseudonymKey']),
    keyId: values['privacy.pseudonymKeyId'],
    topics: ofUsers(reader.manifest.topics),
    isTheirs: recordsOf(user, reader.schemas()),
    now: systemClock.wall,
    onProgress: (records, total) => progress.update(records, total),
  })
  answer(call, { ...erasure, through: undefined }, () =>
    erasure.records === 0
      ? `${dir} holds nothing of ${user}`
      : `${plural(erasure.records, 'record')} of ${user} erased from ${plural(erasure.files, 'file')} of ${dir}; the manifest notes it under the pseudonym ${erasure.pseudonym.slice(0, 16)}...`,
  )
  return EXIT.done
}

function required(given: unknown, flag: string, what: string): string {
  if (typeof given === 'string' && given !== '') return given
  throw new FreshetError('CALL_INVALID', `--${flag} is missing: ${what}`)
}

function parseFrom(given: unknown): From | undefined {
  if (given === undefined) return undefined
  const text = String(given)
  if (text === 'earliest') return { kind: 'earliest' }
  if (/^\d+$/.test(text)) return { kind: 'offset', offset: Number(text) }
  const ms = momentOf(text)
  if (ms !== undefined) return { kind: 'time', ms }
  throw new FreshetError(
    'CALL_INVALID',
    `--from got ${JSON.stringify(text)}; it takes a time such as 2026-11-01 or 2026-11-01T12:00Z, an offset, or earliest`,
  )
}

function parseCodec(given: unknown): Codec | undefined {
  if (given === undefined) return undefined
  const codec = codecs.find(one => one === given)
  if (codec !== undefined) return codec
  throw new FreshetError(
    'CALL_INVALID',
    `--codec got ${JSON.stringify(given)}; it takes ${codecs.join(' or ')}`,
  )
}

function parseKeep(given: unknown): number | undefined {
  if (given === undefined) return undefined
  const ms = spanMs(String(given))
  if (ms !== undefined) return ms
  throw new FreshetError(
    'CALL_INVALID',
    `--keep got ${JSON.stringify(given)}; it takes days or hours, such as 90d or 36h`,
  )
}

/** Aborted by the first signal, upon which all that was taken is written; the second ends at once. */
function stopSignal(): AbortSignal {
  const stop = new AbortController()
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(EXIT.failed)
    stop.abort()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  return stop.signal
}
