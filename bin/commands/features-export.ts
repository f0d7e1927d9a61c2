/** `freshet features export`: examples with the features that were served, as a Parquet file to train from. */
import { connect } from '../../sinks/clickhouse/connect.ts'
import { exceptionCode } from '../../sinks/clickhouse/connection.ts'
import {
  countExamples,
  type ExamplesWanted,
  exportExamples,
  type FoundExamples,
} from '../../sinks/clickhouse/examples-export.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { featureHash, featureNames } from '../../topologies/blend/features.ts'
import { action, answer, type Call, command, EXIT, moment, notDone } from '../call.ts'
import { tablesUrl } from '../compose.ts'
import { bytes, count, Progress, plural, time } from '../terminal.ts'

/** A server may think this long about the first rows of a quarter. */
const TIMEOUT_MS = 600_000

export function exportFeatures() {
  return command(
    'export',
    'Writes examples (impressions and what came of them) with their features as they were served to a Parquet file, a column a feature',
    'freshet features export --from 2026-01-01 --to 2026-02-01 --labelled --to-file examples.parquet',
  )
    .requiredOption('--from <time>', 'impressions shown from this time on, ISO-8601')
    .requiredOption('--to <time>', 'and before this one')
    .requiredOption('--to-file <file>', 'where to write it; what is there is replaced')
    .option('--surface <name>', 'of this surface alone')
    .option('--labelled', 'only those whose label is known', false)
    .option(
      '--skip-other-hashes',
      'leave out examples with features of another registry instead of refusing',
      false,
    )
    .action(action(run))
}

interface Exported {
  readonly file: string
  readonly rows: number
  readonly sizeBytes: number
  readonly featureHash: string
  readonly features: number
  readonly from: string | null
  readonly to: string | null
  readonly withoutFeatures: number
  readonly otherHashes: Readonly<Record<string, number>>
}

async function run(call: Call): Promise<number> {
  const { flags, values } = call
  const file = String(flags.toFile)
  const wanted: ExamplesWanted = {
    database: values['clickhouse.database'],
    from: moment('from', flags.from),
    to: moment('to', flags.to),
    surface: flags.surface as string | undefined,
    labelled: flags.labelled === true,
  }
  const url = tablesUrl(values)
  if (url === undefined)
    throw new FreshetError('CALL_INVALID', 'clickhouse.url is none: there are no examples')
  const connection = await connect(url, TIMEOUT_MS)
  try {
    const found = await countExamples(connection, wanted)
    const today = found.find(({ hash }) => hash === featureHash)
    const others = found.filter(({ hash }) => hash !== featureHash && hash !== '')
    const mixed = others.length > 0 && flags.skipOtherHashes !== true
    if (mixed) return notDone(mixedHashes(others, today))
    const answered: Exported = {
      file,
      rows: today?.rows ?? 0,
      sizeBytes: 0,
      featureHash,
      features: featureNames.length,
      from: today ? new Date(today.first).toISOString() : null,
      to: today ? new Date(today.last).toISOString() : null,
      withoutFeatures: found.find(({ hash }) => hash === '')?.rows ?? 0,
      otherHashes: Object.fromEntries(others.map(({ hash, rows }) => [hash, rows])),
    }
    if (today === undefined) {
      answer(call, { ...answered, file: null }, () => nothing(answered))
      return EXIT.checkFailed
    }
    const progress = new Progress('bytes')
    const sizeBytes = await exportExamples(
      connection,
      wanted,
      { hash: featureHash, names: featureNames },
      file,
      n => progress.update(n),
    )
    progress.end(sizeBytes)
    answer(call, { ...answered, sizeBytes }, () => text({ ...answered, sizeBytes }))
    return EXIT.done
  } catch (error) {
    throw explained(error, connection.address, wanted.database)
  } finally {
    await connection.close()
  }
}

/** UNKNOWN_TABLE, UNKNOWN_DATABASE. */
const missing = [60, 81]

function explained(error: unknown, address: string, database: string): unknown {
  if (error instanceof FreshetError) return error
  const code = exceptionCode(error)
  const [said] = messageOf(error).split('\n')
  if (code === undefined)
    return new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      `ClickHouse ${address} cannot be reached (${said}); check FRESHET_CLICKHOUSE_URL and that the server runs`,
      error,
    )
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    missing.includes(code)
      ? `ClickHouse ${address} has no examples in database ${database}: has \`freshet run\` written to it?`
      : `ClickHouse ${address} refuses: ${said}`,
    error,
  )
}

function mixedHashes(others: readonly FoundExamples[], today: FoundExamples | undefined): string {
  const each = others.map(
    ({ hash, rows, first, last }) => `${count(rows)} of ${hash} (${time(first)} to ${time(last)})`,
  )
  const own = today
    ? `${count(today.rows)} of today's ${featureHash} (${time(today.first)} to ${time(today.last)})`
    : `none of today's ${featureHash}`
  return `examples of this time have features of other registries: ${each.join(', ')}; ${own}. A file's columns mean one registry: choose another time, add --skip-other-hashes for today's alone, or export the others with the freshet that served them`
}

function nothing({ withoutFeatures }: Exported): string {
  return withoutFeatures === 0
    ? 'no example matches: nothing is written'
    : `no example that matches has features (${plural(withoutFeatures, 'example')} without): nothing is written; docs/models.md says when there are none`
}

function text(e: Exported): string {
  const left = Object.values(e.otherHashes).reduce((sum, n) => sum + n, e.withoutFeatures)
  return `${plural(e.rows, 'example')} with ${e.features} features (hash ${e.featureHash}) are in ${e.file}, ${bytes(e.sizeBytes)}${
    left === 0
      ? ''
      : `; left out: ${count(e.withoutFeatures)} without features, ${count(left - e.withoutFeatures)} with other ones`
  }`
}
