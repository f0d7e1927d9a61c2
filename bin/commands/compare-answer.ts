/** What `freshet replay compare` answers a person. */

import { type Check, type CompareReport, holds, verdictOf } from '../../replay/compare/report.ts'
import type { Agreement } from '../../replay/compare/tables.ts'
import { count, paint, table, time } from '../terminal.ts'

const worstShown = 5

/** @param idOf a user's id by what stands for it in the report. @param files where the report was written. */
export function compareLines(
  report: CompareReport,
  idOf: ReadonlyMap<string, string>,
  files: readonly string[],
): string[] {
  const { replay, with: other, at, checks } = report
  const colour = holds(checks) ? 'green' : 'red'
  return [
    `replay ${replay} against ${other}, ${time(at)} UTC`,
    paint(colour, verdictOf(checks)),
    '',
    table([['', 'check', 'value', 'at least', ''], ...checks.map(row)]),
    '',
    ...positionLines(report),
    ...optionLines(report),
    ...listLines(report, idOf),
    ...tableLines(report),
    ...qualityLines(report),
    ...parityLines(report),
    ...report.notes.map(note => paint('dim', note)),
    ...files.map(file => `written: ${file}`),
  ]
}

function row({ name, what, value, least, holds: does, reason }: Check): string[] {
  const word =
    does === null ? (least === null ? 'not asked' : 'not told') : does ? 'holds' : 'beyond'
  const shown = does === null ? 'dim' : does ? 'green' : 'red'
  return [
    paint(shown, word.padEnd(9)),
    name,
    value === null ? '' : digits(value),
    least === null ? 'off' : digits(least),
    reason === '' ? what : `${what}: ${reason}`,
  ]
}

function positionLines({ positions: { same, behind, ahead }, with: other }: CompareReport) {
  if (same) return ['both stand at the same records']
  const more = [
    behind > 0 ? `${other} has taken in ${count(behind)} records more` : '',
    ahead > 0 ? `the replay has taken in ${count(ahead)} records more` : '',
  ].filter(text => text !== '')
  return [more.length > 0 ? more.join(', and ') : 'the replay has taken in nothing']
}

function optionLines({ options }: CompareReport): string[] {
  return Object.entries(options).map(
    ([name, { replay, with: other }]) => `option ${name}: ${replay} in the replay, else ${other}`,
  )
}

function listLines({ lists, sessions }: CompareReport, idOf: ReadonlyMap<string, string>) {
  const found: string[] = []
  if (sessions)
    found.push(
      `sessions: ${count(sessions.both)} of ${count(sessions.users)} sampled users in both, ${count(sessions.equal)} of them equal`,
    )
  if (!lists || lists.users.both === 0) return found
  const { users } = lists
  found.push(
    `lists: ${count(users.both)} in both, ${count(users.identical)} identical; RBO mean ${shown(users.rbo.mean)}, median ${shown(users.rbo.median)}, 10th percentile ${shown(users.rbo.p10)}; overlap@10 mean ${shown(users.overlap10.mean)}`,
  )
  for (const { of, surface, rbo } of users.worst.slice(0, worstShown))
    found.push(`  ${idOf.get(of) ?? of} (${surface}): RBO ${digits(rbo)}`)
  return found
}

function tableLines({ tables }: CompareReport): string[] {
  const some = (tables ?? []).filter(({ figures }) => figures.length > 0)
  if (some.length === 0) return []
  const part = ({ both, equal, onlyReplay, onlyWith }: Agreement) => [
    `${count(equal)} of ${count(both)}`,
    `${count(onlyReplay)}/${count(onlyWith)}`,
  ]
  return [
    '',
    table([
      ['table', 'equal: of the log alone', 'only one', 'of models, lists, the machine', 'only one'],
      ...some.map(({ table: name, exact, soft }) => [name, ...part(exact), ...part(soft)]),
    ]),
  ]
}

function qualityLines({ quality, prequential }: CompareReport): string[] {
  const found: string[] = []
  const changed = quality.filter(({ replay, with: other }) => !isEqual(replay, other))
  if (quality.length > 0)
    found.push(
      '',
      changed.length === 0
        ? `quality: all ${quality.length} metrics of what was shown are equal`
        : table([
            ['quality', 'before', 'after'],
            ...changed.map(each => [each.metric, digits(each.with), digits(each.replay)]),
          ]),
    )
  if (prequential)
    found.push(
      '',
      table([
        ['prequential', 'before', 'after', 'difference', '95%'],
        ...prequential.metrics.map(each => [
          each.metric,
          digits(each.with),
          digits(each.replay),
          digits(each.difference),
          each.interval ? `${digits(each.interval[0])} to ${digits(each.interval[1])}` : '',
        ]),
      ]),
    )
  return found
}

function parityLines({ parity }: CompareReport): string[] {
  if (!parity || parity.compared === 0) return []
  const worst = parity.features.filter(({ equal }) => equal < 1).slice(0, worstShown)
  return [
    '',
    `features: ${digits(100 * (parity.equalValues ?? 0))}% of the values of ${count(parity.compared)} examples are as served, within ${digits(100 * parity.tolerance)}%`,
    ...worst.map(
      each =>
        `  ${each.feature}: ${digits(100 * each.equal)}% equal, mean difference ${digits(each.meanDifference)}, mean absolute ${digits(each.meanAbsolute)}, correlation ${shown(each.correlation)}`,
    ),
  ]
}

const isEqual = (a: number, b: number): boolean =>
  Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b))
const shown = (value: number | null): string => (value === null ? '-' : digits(value))

function digits(value: number): string {
  return value === 1 || value === 0 ? String(value) : Number(value.toPrecision(4)).toString()
}
