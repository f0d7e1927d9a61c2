/** `freshet evaluate`: how good the lists are, told from a log. */
import { readFileSync } from 'node:fs'
import { type Format, formats, parseMap } from '../../replay/import/formats.ts'
import { type ImportedLog, importLog } from '../../replay/import/import.ts'
import type { Difference } from '../../replay/prequential/bootstrap.ts'
import { evaluatePrequential } from '../../replay/prequential/evaluate.ts'
import { metrics } from '../../replay/prequential/metrics.ts'
import {
  type Comparison,
  compareRuns,
  type PrequentialReport,
  report,
} from '../../replay/prequential/report.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { badLines } from '../bad-lines.ts'
import { action, answer, type Call, command, EXIT, wholeNumber } from '../call.ts'
import { count, Progress, paint, table } from '../terminal.ts'
import { policyCommand } from './evaluate-policy.ts'

export function evaluateCommand() {
  return command('evaluate', 'How good lists are', 'freshet evaluate policy --help')
    .addCommand(prequentialCommand())
    .addCommand(policyCommand())
}

function prequentialCommand() {
  return command(
    'prequential <file>',
    'Predicts every event of a log before it is learnt, by the topologies themselves, in time order',
    "freshet evaluate prequential ratings.dat --format movietweetings --positive 'rating >= 8'",
  )
    .requiredOption('--format <name>', formats.join(', '))
    .option('--map <field=column,...>', 'event fields to columns, for csv and jsonl')
    .option('--positive <expression>', "which rows are events, e.g. 'rating >= 8'")
    .option('--delimiter <text>', 'between the cells of a csv')
    .option('--shift <ms>', 'added to every time')
    .option('--active-within <duration>', 'rank items that had an event within this time; else all')
    .option(
      '--partitions <n>',
      '1: everything is known at once after each event; more: tasks at their real intervals, in event time',
    )
    .option('--score-every <n>', 'predict every n-th event, learn all')
    .option('--compare <json>', 'the --json answer of another run over the same events')
    .action(action(prequential))
}

async function prequential(call: Call, file: string): Promise<number> {
  const { flags } = call
  const other = flags.compare === undefined ? undefined : readReport(String(flags.compare))
  const log = openLog(call, file)
  const progress = new Progress('evaluate')
  const run = await evaluatePrequential({
    log,
    options: call.values,
    partitions: partitions(flags.partitions),
    activeWithinMs: activeWithin(flags.activeWithin),
    scoreEvery: wholeNumber('score-every', flags.scoreEvery, 1, 1),
    progress: (done, total) => progress.update(done, total),
  })
  progress.end(run.events)
  const found = report(run)
  const comparison = other && compareRuns(found, other)
  const machine = {
    ...found,
    positive: log.positive,
    bad: log.bad,
    ...(comparison ? { comparison } : {}),
  }
  answer(call, machine, () =>
    [...lines(found, log), ...(comparison ? compared(comparison) : []), ...badLines(log)].join(
      '\n',
    ),
  )
  return log.bad.length > 0 ? EXIT.checkFailed : EXIT.done
}

/** Each has tasks of its own in this process. */
const mostPartitions = 64

function partitions(given: unknown): number {
  const value = wholeNumber('partitions', given, 1, 1)
  if (value <= mostPartitions) return value
  throw new FreshetError(
    'CALL_INVALID',
    `--partitions got ${value}; it takes a whole number from 1 to ${mostPartitions}`,
  )
}

function openLog(call: Call, file: string): ImportedLog {
  const { flags } = call
  const format = flags.format as Format
  if (!formats.includes(format))
    throw new FreshetError(
      'CALL_INVALID',
      `--format got ${JSON.stringify(format)}; it takes ${formats.join(', ')}`,
    )
  return importLog(file, {
    format,
    map: typeof flags.map === 'string' ? parseMap(flags.map) : undefined,
    positive: flags.positive as string | undefined,
    delimiter: flags.delimiter as string | undefined,
    shiftMs: flags.shift === undefined ? undefined : Number(flags.shift),
  })
}

function activeWithin(given: unknown): number | undefined {
  if (given === undefined) return undefined
  const parsed = duration().safeParse(given)
  if (parsed.success && parsed.data > 0) return parsed.data
  throw new FreshetError(
    'CALL_INVALID',
    `--active-within got ${JSON.stringify(given)}; it takes ${durationTakes}`,
  )
}

function readReport(file: string): PrequentialReport {
  const takes = 'it takes the answer of `freshet evaluate prequential --json`'
  let found: unknown
  try {
    found = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `--compare ${file} can't be read: ${messageOf(error)}; ${takes}`,
      error,
    )
  }
  const { scorers, users } = (found ?? {}) as Partial<PrequentialReport>
  if (scorers?.blend?.secondHalf === undefined || !Array.isArray(users))
    throw new FreshetError('CALL_INVALID', `--compare ${file} is no such answer; ${takes}`)
  return found as PrequentialReport
}

// ---- text

function lines(found: PrequentialReport, log: ImportedLog): string[] {
  const { all } = found.scorers.blend
  const rows = Object.entries(found.scorers).map(([name, scorer]) => [
    name === 'popularity_decayed' ? `${name} (${found.halfLifeHours} h)` : name,
    ...metrics.map(metric => digits(scorer.all[metric]) + span(found.intervals[name].all[metric])),
    digits(scorer.all.coverage),
    ...metrics.map(metric => digits(scorer.secondHalf[metric])),
  ])
  const { blend, retrieved, others } = found.msAPrediction
  const coldN = found.newItems.blend.n
  return [
    `${count(found.events)} events (${log.positive}; times in ${log.times}), ${count(all.n)} predicted, ${count(found.scorers.blend.secondHalf.n)} of them in the second half`,
    ...(all.n > 0 ? [] : nothingPredicted(coldN)),
    '',
    table([['scorer', ...metrics, 'coverage', ...metrics.map(m => `half: ${m}`)], ...rows]),
    '',
    paint('dim', 'in brackets: 95%, by a bootstrap over users; equal scores go by item id'),
    ...(coldN > 0
      ? [
          `${count(coldN)} more were the first event of their item, and stand apart: recall@10 of the blend ${digits(found.newItems.blend['recall@10'])}`,
        ]
      : []),
    ...Object.entries(found.blendLess).map(([name, by]) =>
      differenceLine(`blend less ${name}`, by['ndcg@10']),
    ),
    retrievalLine(found),
    `a prediction took ${blend.toFixed(2)} ms by the blend, ${retrieved.toFixed(2)} ms as lists are made and ${others.toFixed(2)} ms by all others; an event was learnt in ${found.msAnEventLearnt.toFixed(2)} ms`,
  ]
}

function nothingPredicted(newItems: number): string[] {
  const why =
    newItems > 0
      ? `all ${count(newItems)} events that could be were the first of their item`
      : 'no event was the first of its user and item among those that --score-every takes'
  return [paint('yellow', `nothing was predicted: ${why}; the figures below say nothing`)]
}

function retrievalLine({ retrieval: { all } }: PrequentialReport): string {
  const sources = Object.entries(all.bySource)
    .filter(([, share]) => share > 0)
    .map(([source, share]) => `${source} ${digits(share)}`)
  return `retrieved: the blend over the candidates of a real list, ${all.candidates.toFixed(0)} on average; ${digits(all.recall)} of the items to predict were among them${sources.length > 0 ? ` (${sources.join(', ')})` : ''}, ${digits(all.lost)} of all would have been among the blend's ten and were not`
}

function compared(comparison: Comparison): string[] {
  return [
    '',
    paint('bold', 'blend, less that of the other run'),
    ...metrics.flatMap(metric => [
      differenceLine(metric, comparison.all[metric], metric),
      differenceLine(`${metric}, second half`, comparison.secondHalf[metric], metric),
    ]),
  ]
}

function differenceLine(what: string, by: Difference, metric = 'NDCG@10'): string {
  const needs =
    by.eventsFor1Percent === null
      ? ''
      : `; a difference of 1% would show in ${count(by.eventsFor1Percent)} predictions`
  return `${what}: ${by.difference >= 0 ? '+' : ''}${by.difference.toFixed(4)} ${metric}${span(by.interval)}${needs}`
}

const digits = (value: number): string => value.toFixed(4)

function span(interval: readonly [number, number] | null): string {
  return interval === null ? '' : ` [${digits(interval[0])}, ${digits(interval[1])}]`
}
