/** `freshet evaluate policy`: what another policy would have earned, told from the log of the one that was served. */

import { parseMap } from '../../replay/import/formats.ts'
import { drawsOf } from '../../replay/policy/impressions.ts'
import { readLogFile } from '../../replay/policy/log-file.ts'
import { logitsBy, type RankedRow } from '../../replay/policy/model-logits.ts'
import { type PolicyLog, type PolicyReport, reportOf } from '../../replay/policy/report.ts'
import { type Metric, metrics } from '../../replay/policy/rewards.ts'
import { drawsOfSlates } from '../../replay/policy/slates.ts'
import {
  type LogExtent,
  loggedImpressions,
  loggedSlates,
  segmentKeys,
} from '../../replay/policy/tables.ts'
import { parseTarget } from '../../replay/policy/target.ts'
import type { ClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defaultLambdas, type Lambdas } from '../../topologies/evaluation/estimators/single.ts'
import { armsOf } from '../../topologies/topk/variants.ts'
import { action, answer, type Call, command, EXIT, moment, wholeNumber } from '../call.ts'
import { openTables } from '../compose.ts'
import { createLookingLogger } from '../logger.ts'
import { count } from '../terminal.ts'
import { type Head, lines, machine } from './policy-answer.ts'
import { openRunner } from './policy-model.ts'

export function policyCommand() {
  return command(
    'policy',
    'What another policy would have earned, from the impressions of the one that was served and their propensities',
    'freshet evaluate policy --target temperature=0.05 --from 2026-01-01 --to 2026-01-08 --metric click',
  )
    .option(
      '--target <file|change|model:name>',
      'policy file (JSON), a change of the present one such as temperature=0.5, a table of chances (CSV or JSONL: item,p[,position][,surface][,request][,q]), model:NAME (the promoted one, or NAME@SHA256), or an .onnx file. With a --log that has a column p_target: none',
    )
    .option('--from <time>', 'ISO 8601: impressions from then on')
    .option('--to <time>', 'ISO 8601: up to then, not including it')
    .option('--metric <name>', `${metrics.join(', ')}`, 'click')
    .option(
      '--logged <policy>',
      'only what this policy drew; else all, each by its own propensities',
    )
    .option('--segment <key=value,...>', `only impressions of it: ${segmentKeys.join(', ')}`)
    .option(
      '--log <file>',
      'CSV or JSONL of impressions in the place of ClickHouse: user,request,item,position,propensity,reward[,p_target][,q,q_target][,weight], or the names of the Open Bandit Dataset',
    )
    .option('--map <field=column,...>', 'which column of --log is which field')
    .option('--watch-cap <duration>', 'watch time of a play counts up to this', '30m')
    .option(
      '--lambda <name=value,...>',
      'clip, switch, shrink, subGaussian: see docs/evaluation.md',
    )
    .option('--bootstrap <n>', 'resamples of users; 0: none', '10000')
    .option('--seed <n>', 'of the resamples', '1')
    .option('--write', 'write the figures to the table evaluation', false)
    .action(action(evaluatePolicy))
}

async function evaluatePolicy(call: Call): Promise<number> {
  const { flags } = call
  const settings = {
    lambdas: lambdas(flags.lambda),
    replicates: wholeNumber('bootstrap', flags.bootstrap, 10_000),
    seed: wholeNumber('seed', flags.seed, 1),
  }
  const metric = metricOf(flags.metric)
  const isFile = typeof flags.log === 'string'
  const extent = isFile ? undefined : extentOf(flags)
  if (isFile && flags.write === true && flags.from === undefined)
    throw new FreshetError(
      'CALL_INVALID',
      '--write of a --log needs --from and --to: rows of the table evaluation are windows of time',
    )
  const tables = isFile && flags.write !== true ? null : await openLog(call)
  try {
    const found = isFile
      ? fromFile(call, String(flags.log))
      : await fromTables(call, tables as ClickHouseStore, extent as LogExtent, metric)
    const report = reportOf(found.log, settings)
    const head = {
      target: found.target,
      logged: found.logged,
      metric: isFile ? 'reward' : metric,
      segment: segmentText(flags.segment),
    }
    if (flags.write === true && tables !== null)
      await write(tables, head, extent ?? extentOf(flags), report)
    answer(call, machine(head, report), () => lines(head, report).join('\n'))
    // what was earned is known in any case
    const told = report.figures.filter(each => each.estimator !== 'on_policy')
    return told.every(({ refused }) => refused !== '') ? EXIT.checkFailed : EXIT.done
  } finally {
    await tables?.close()
  }
}

interface Found {
  readonly target: string
  readonly logged: string
  readonly log: PolicyLog
}

function fromFile(call: Call, file: string): Found {
  const { flags } = call
  const map = typeof flags.map === 'string' ? parseMap(flags.map) : undefined
  const target =
    typeof flags.target === 'string' ? parseTarget(flags.target, call.values) : undefined
  if (target !== undefined && target.kind !== 'table')
    throw new FreshetError(
      'CALL_INVALID',
      `--target ${target.name} with --log: a file of impressions has no candidates, so no policy's chances can be computed; it takes a table of chances (item,p), or a column p_target in the log`,
    )
  const impressions = readLogFile(file, map)
  if (target === undefined && impressions.every(({ pTarget }) => pTarget === null))
    throw new FreshetError(
      'CALL_INVALID',
      `${file} has no column p_target: name a table of chances by --target`,
    )
  return {
    target: target?.name ?? 'p_target',
    logged: String(flags.logged ?? ''),
    log: drawsOf(impressions, target?.table ?? null),
  }
}

async function fromTables(
  call: Call,
  tables: ClickHouseStore,
  extent: LogExtent,
  metric: Metric,
): Promise<Found> {
  const { flags, values } = call
  if (typeof flags.target !== 'string')
    throw new FreshetError('CALL_INVALID', '--target is missing: what is to be evaluated?')
  const target = parseTarget(flags.target, values)
  const reward = { metric, capMs: capOf(flags.watchCap) }
  const database = values['clickhouse.database']
  if (target.kind === 'table') {
    const impressions = await asked(() => loggedImpressions(tables, database, extent, reward))
    const log = drawsOf(impressions, target.table)
    return { target: target.name, logged: extent.logged ?? '', log }
  }
  const runner = target.kind === 'model' ? await openRunner(call, target) : undefined
  const { slates, lists, policies } = await asked(() =>
    loggedSlates(tables, database, extent, reward, runner !== undefined),
  )
  const logged = extent.logged ?? (policies.length === 1 ? policies[0] : '')
  const sampled = [
    ...target.notes,
    ...underArms(extent.logged),
    `${count(slates.length)} of the ${count(lists)} lists shown were sampled with their candidates (slates.share)`,
  ]
  const depth = values['ranker.cascade']
  const log = drawsOfSlates(
    slates,
    ({ row }) => target.bySurface.get(row.surface),
    runner && (row => logitsBy(runner, row as RankedRow, depth)),
    extent.logged !== undefined,
  )
  runner?.close()
  return { target: target.name, logged, log: { ...log, notes: [...log.notes, ...sampled] } }
}

/** What is to be known of lists that only an explicit --logged takes in. */
function underArms(logged = ''): string[] {
  const tag = armsOf(logged)
  if (tag === '') return []
  return [
    `candidates and scores are those that ${tag} of an experiment left: where the arm changes ranker, fatigue, candidates or mmr, the target is told from what it would not have seen`,
  ]
}

async function openLog(call: Call): Promise<ClickHouseStore> {
  const around = {
    values: call.values,
    log: createLookingLogger(call.values['log.level']),
    metrics: noMetrics,
  }
  const tables = await openTables(around)
  if (tables === null)
    throw new FreshetError(
      'CALL_INVALID',
      'clickhouse.url is none: there is no log to evaluate on; name the ClickHouse that has it, or a file by --log',
    )
  if (call.flags.write === true) await tables.migrate()
  return tables
}

/** Errors: CALL_INVALID where the tables are not there. */
async function asked<T>(query: () => Promise<T>): Promise<T> {
  try {
    return await query()
  } catch (error) {
    const message = messageOf(error)
    if (/UNKNOWN_(TABLE|DATABASE)|Code: (60|81)\b/.test(message))
      throw new FreshetError(
        'CALL_INVALID',
        'there is no log yet: ClickHouse has no such tables; `freshet run` makes and fills them',
        error,
      )
    throw error
  }
}

async function write(
  tables: ClickHouseStore,
  head: Head,
  { from, to }: LogExtent,
  { figures, n }: PolicyReport,
): Promise<void> {
  const revision = Date.now()
  const rows = figures.map(({ estimator, value, low, high, refused, effectiveSampleSize }) => ({
    window_start: from,
    window_end: to,
    policy_evaluated: estimator === 'on_policy' ? head.logged : head.target,
    policy_logged: head.logged,
    metric: head.metric,
    segment: head.segment,
    estimator,
    value,
    low,
    high,
    n,
    effective_sample_size: effectiveSampleSize,
    refused,
    revision,
  }))
  const done = tables.insert('evaluation', rows)
  await tables.drain()
  await done
}

// ---- flags

function metricOf(given: unknown): Metric {
  if (metrics.includes(given as Metric)) return given as Metric
  throw new FreshetError(
    'CALL_INVALID',
    `--metric got ${JSON.stringify(given)}; it takes ${metrics.join(', ')}`,
  )
}

function extentOf(flags: Call['flags']): LogExtent {
  const from = moment('from', flags.from)
  const to = moment('to', flags.to)
  if (from >= to)
    throw new FreshetError('CALL_INVALID', `--from ${flags.from} is not before --to ${flags.to}`)
  return {
    from,
    to,
    segment: segmentOf(flags.segment),
    ...(typeof flags.logged === 'string' ? { logged: flags.logged } : {}),
  }
}

function segmentOf(given: unknown): Record<string, string> {
  if (given === undefined) return {}
  return Object.fromEntries(
    String(given)
      .split(',')
      .map(part => {
        const at = part.indexOf('=')
        const key = part.slice(0, at).trim()
        if (at < 1 || !(segmentKeys as readonly string[]).includes(key))
          throw new FreshetError(
            'CALL_INVALID',
            `--segment got ${JSON.stringify(part)}; it takes KEY=VALUE of ${segmentKeys.join(', ')}`,
          )
        return [key, part.slice(at + 1).trim()]
      }),
  )
}

/** As the column `segment` has it. */
function segmentText(given: unknown): string {
  return Object.entries(segmentOf(given))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

function capOf(given: unknown): number {
  const parsed = duration().safeParse(given)
  if (parsed.success && parsed.data > 0) return parsed.data
  throw new FreshetError(
    'CALL_INVALID',
    `--watch-cap got ${JSON.stringify(given)}; it takes ${durationTakes}`,
  )
}

function lambdas(given: unknown): Lambdas {
  const found: Record<string, number> = { ...defaultLambdas }
  if (given === undefined) return defaultLambdas
  for (const part of String(given).split(',')) {
    const [name, text] = part.split('=').map(piece => piece.trim())
    const value = text === '' || text === undefined ? Number.NaN : Number(text)
    const most = name === 'subGaussian' ? 1 : Number.POSITIVE_INFINITY
    if (!(name in defaultLambdas) || !(value >= 0 && value <= most))
      throw new FreshetError(
        'CALL_INVALID',
        `--lambda got ${JSON.stringify(part)}; it takes NAME=VALUE of ${Object.keys(defaultLambdas).join(', ')}, from 0 (subGaussian: to 1)`,
      )
    found[name] = value
  }
  return found as unknown as Lambdas
}
