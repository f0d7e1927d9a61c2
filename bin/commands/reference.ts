/** `freshet reference`: what windows are compared with, set by hand. */
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { SetReference } from '../../topologies/drift/reference-book.ts'
import { sizes } from '../../topologies/drift/subjects.ts'
import { action, answer, type Call, command, EXIT, moment, notDone } from '../call.ts'
import { isEmbedded, namesOf, openTables, openTransport, REACH_MS } from '../compose.ts'
import { createLogger } from '../logger.ts'
import { freeze, type SummedRow, summedHistograms } from '../reference-histograms.ts'
import { publishReferences, readReferences } from '../references-topic.ts'
import { count, table } from '../terminal.ts'
import { outsideTopicSpecs } from '../topics.ts'

export function referenceCommand() {
  const set = command(
    'set',
    'Freezes the histograms of a time as what windows are compared with from now on',
    'freshet reference set --from 2026-11-02T00:00:00Z --to 2026-11-09T00:00:00Z --name november',
  )
    .requiredOption('--from <time>', 'start of the time, ISO-8601')
    .requiredOption('--to <time>', 'end of the time, ISO-8601; whole windows before it count')
    .option('--name <name>', 'what rows call it', 'set')
    .action(action(set_))
  const list = command(
    'list',
    'The references that were set, newest first',
    'freshet reference list',
  ).action(action(list_))
  const made = command('reference', 'What drift is measured against', 'freshet reference list')
  for (const sub of [set, list]) made.addCommand(sub)
  return made
}

async function set_(call: Call): Promise<number> {
  const { values, flags } = call
  const from = moment('from', flags.from)
  const to = moment('to', flags.to)
  const name = nameOf(flags.name)
  if (from >= to)
    throw new FreshetError('CALL_INVALID', `--from ${flags.from} is not before --to ${flags.to}`)
  const around = { values, log: createLogger(values['log.level']), metrics: noMetrics }
  const tables = await openTables(around)
  if (tables === null)
    throw new FreshetError(
      'CALL_INVALID',
      'clickhouse.url is none: the histograms of past windows stand in ClickHouse',
    )
  let summed: SummedRow[]
  try {
    await tables.migrate(REACH_MS)
    summed = await summedHistograms(tables, values['clickhouse.database'], from, to)
  } finally {
    await tables.close()
  }
  const range = `${flags.from} to ${flags.to}`
  if (summed.length === 0)
    return notDone(
      `ClickHouse has no histograms of whole windows from ${range}: is it event time, in UTC, and did \`freshet run\` write tables then?`,
    )
  const minRows = values['drift.minRows']
  const setAt = systemClock.wall()
  const { references, tooFew } = freeze(summed, { name, from, to, setAt }, minRows)
  if (references.length === 0) {
    const most = Math.max(...tooFew.map(row => row.rows))
    return notDone(
      `from ${range} no subject has the ${minRows} rows that a reference must have (drift.minRows); the most that one has are ${most}`,
    )
  }
  await withTopic(call, at => publishReferences(at, references))
  const said = { name, from, to, setAt, series: references.length, tooFew: tooFew.length }
  answer(call, { ...said, subjects: summaryOf(references) }, () =>
    [
      `${name}: ${count(references.length)} histograms frozen, of windows from ${range}`,
      table([
        ['subject', 'windows of', 'windows', 'rows'],
        ...summaryOf(references).map(each => [each.subject, each.size, each.windows, each.rows]),
      ]),
      tooFew.length > 0 &&
        `${count(tooFew.length)} have fewer than ${minRows} rows and keep the reference they had`,
    ]
      .filter(Boolean)
      .join('\n'),
  )
  return EXIT.done
}

async function list_(call: Call): Promise<number> {
  const book = await withTopic(call, readReferences)
  const inForce = new Set(book.newest())
  const bySetting = new Map<string, SetReference[]>()
  for (const each of book.all()) {
    const key = `${each.setAt} ${each.name}`
    bySetting.set(key, [...(bySetting.get(key) ?? []), each])
  }
  const list = [...bySetting.values()]
    .map(each => ({
      name: each[0].name,
      setAt: each[0].setAt,
      from: each[0].from,
      to: each[0].to,
      series: each.length,
      inForce: each.filter(one => inForce.has(one)).length,
    }))
    .sort((a, b) => b.setAt - a.setAt)
  answer(call, list, () =>
    list.length === 0
      ? 'none was set: windows are compared with the first ones (drift.reference.windows)'
      : table([
          ['name', 'set', 'from', 'to', 'histograms', 'in force'],
          ...list.map(each => [
            each.name,
            ...[each.setAt, each.from, each.to].map(ms => new Date(ms).toISOString()),
            each.series,
            each.inForce,
          ]),
        ]),
  )
  return EXIT.done
}

/** Of everything together, by subject and window size. */
function summaryOf(references: readonly SetReference[]) {
  return references
    .filter(each => each.segment === '')
    .map(({ subject, size, windows, shards }) => ({
      subject,
      size: sizes[size].name,
      windows,
      rows: shards.flat().reduce((a, b) => a + b, 0),
    }))
    .sort((a, b) => (a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0))
}

async function withTopic<T>(
  { values }: Call,
  work: (at: Parameters<typeof readReferences>[0]) => Promise<T>,
): Promise<T> {
  const log = createLogger(values['log.level'])
  const transport = await openTransport({ values, log, metrics: noMetrics }, REACH_MS)
  const names = namesOf(values)
  try {
    if (isEmbedded(values))
      await transport.topics.create(outsideTopicSpecs(names, values['topics.partitions']))
    return await work({ transport, names, log })
  } finally {
    await transport.close()
  }
}

function nameOf(given: unknown): string {
  const name = String(given)
  if (/^[\w.-]{1,60}$/.test(name) && name !== 'first') return name
  throw new FreshetError(
    'CALL_INVALID',
    `--name got ${JSON.stringify(name)}; it takes up to 60 letters, digits, dots and dashes, and not "first", which is the one that is collected`,
  )
}
