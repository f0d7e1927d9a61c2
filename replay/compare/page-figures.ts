/** Sections of the page that have plots. */

import type { ListFigures } from './lists.ts'
import { grid, say, section, share } from './page-parts.ts'
import { beforeAfter, digits, escaped, histogram, minute, shareBars, timeLines } from './plots.ts'
import type { CompareReport } from './report.ts'
import type { Agreement } from './tables.ts'

function listPlots(name: string, figures: ListFigures): string {
  if (figures.both === 0) return say(`${name}: none is in both.`)
  const { rbo, overlap10 } = figures
  const marks = [
    { at: rbo.mean ?? 0, name: `mean ${digits(rbo.mean ?? 0)}` },
    { at: rbo.p10 ?? 0, name: `10th percentile ${digits(rbo.p10 ?? 0)}` },
  ]
  return [
    `<h3>${escaped(name)}</h3>`,
    say(
      `${digits(figures.both)} in both, ${digits(figures.onlyReplay)} in the replay alone, ${digits(figures.onlyWith)} in the other alone; ${share(figures.identical, figures.both)} are the same items in the same order. RBO: mean ${digits(rbo.mean ?? 0)}, median ${digits(rbo.median ?? 0)}, 10th percentile ${digits(rbo.p10 ?? 0)}. Overlap of the first ten: mean ${digits(overlap10.mean ?? 0)}, median ${digits(overlap10.median ?? 0)}, 10th percentile ${digits(overlap10.p10 ?? 0)}.`,
    ),
    `<figure>${histogram(rbo.bins, `Rank-biased overlap, ${name}`, marks)}<figcaption>Lists by rank-biased overlap (p = .9); 1: the same ranking.</figcaption></figure>`,
    figures.worst.length === 0
      ? ''
      : `<details><summary>The least alike</summary>${grid(
          ['of', 'surface', 'RBO', 'overlap@10'],
          figures.worst.map(each => [each.of || 'all', each.surface, each.rbo, each.overlap10]),
        )}</details>`,
  ].join('\n')
}

export function lists({ lists: found }: CompareReport): string {
  if (found === null) return section('Lists', say('There are no views of both.'))
  return section(
    'Lists',
    listPlots('Lists of users', found.users),
    found.bySurface.length > 1
      ? grid(
          ['surface', 'in both', 'mean RBO'],
          found.bySurface.map(({ surface, both, rbo }) => [surface, both, rbo]),
        )
      : '',
    listPlots('Lists of cohorts and of all, by what their draws come to', found.shared),
  )
}

export function parity(report: CompareReport): string {
  const found = report.parity
  const name = 'Features as served and as recomputed'
  const check = report.checks.find(each => each.name === 'parity')
  if (found === null || found.compared === 0)
    return section(name, say(`Not told: ${check?.reason}.`))
  const shown = found.features.slice(0, 40)
  return section(
    name,
    say(
      `${digits(found.compared)} of ${digits(found.both)} examples in both have features in both${found.every > 1 ? ` (one of ${found.every} was looked at)` : ''}: ${digits(100 * (found.equalValues ?? 0))}% of their values are equal within ${digits(100 * found.tolerance)}% of the larger, or of the feature's standard deviation; in ${share(found.equal, found.compared)} of the examples all are. ${digits(found.both - found.served)} have none as served, ${digits(found.both - found.recomputed)} none recomputed.`,
    ),
    `<figure>${shareBars(
      shown.map(({ feature, equal, meanDifference }) => ({
        name: feature,
        share: equal,
        note: `${digits(100 * equal)}%, mean ${meanDifference >= 0 ? '+' : ''}${digits(meanDifference, 2)}`,
      })),
      'Share of examples with an equal value, by feature',
    )}<figcaption>Share of examples whose value is equal, worst first; the mean difference is recomputed less served.</figcaption></figure>`,
    `<details><summary>Differences by feature</summary>${grid(
      ['feature', 'equal', 'correlation', 'mean', 'mean absolute', '95% of absolute', 'largest'],
      found.features.map(each => [
        each.feature,
        share(each.equal, 1),
        each.correlation,
        each.meanDifference,
        each.meanAbsolute,
        each.p95Absolute,
        each.largest,
      ]),
    )}</details>`,
    found.examples.length === 0
      ? ''
      : `<details><summary>Examples</summary>${grid(
          ['user', 'request', 'item', 'time', 'feature', 'served', 'recomputed'],
          found.examples.map(each => [
            each.user.slice(0, 16),
            each.request,
            each.item,
            minute(each.ts),
            each.feature,
            each.served,
            each.recomputed,
          ]),
        )}</details>`,
  )
}

const key = `<p class="key"><span class="dot-with"></span> before (the other run) <span class="dot-replay"></span> after (the replay); bars: 95%</p>`

export function quality({ quality: found }: CompareReport): string {
  const name = 'Online quality of what was shown'
  if (found.length === 0) return section(name, say('The runs have no window of quality in common.'))
  return section(
    name,
    say(
      'Of the impressions in the log, which both runs have read: it differs where labels, sessions or the definitions of metrics do, and says nothing of what other lists would have earned.',
    ),
    key,
    `<figure>${beforeAfter(
      found.map(each => ({
        name: each.metric,
        before: each.with,
        after: each.replay,
        intervalBefore: each.intervalWith,
        intervalAfter: each.intervalReplay,
      })),
      'Quality before and after, by metric',
    )}</figure>`,
    `<details><summary>Figures</summary>${grid(
      ['metric', 'windows', 'length (s)', 'n before', 'n after', 'before', 'after', 'difference'],
      found.map(each => [
        each.metric,
        each.windows,
        each.windowMs / 1000,
        each.nWith,
        each.nReplay,
        each.with,
        each.replay,
        each.replay - each.with,
      ]),
    )}</details>`,
  )
}

export function prequential({ prequential: found }: CompareReport): string {
  if (found === null) return ''
  return section(
    'What would have been ranked better (prequential)',
    say(
      `${digits(found.plays)} positive plays from ${minute(found.from)} to ${minute(found.to)} UTC, ${digits(found.predicted)} of them predicted by what was learnt before them, under the options of each run from an empty state. Figures are of the later half.`,
    ),
    grid(
      ['metric', 'before', 'after', 'difference', '95%'],
      found.metrics.map(each => [
        each.metric,
        each.with,
        each.replay,
        each.difference,
        each.interval ? `${digits(each.interval[0])} to ${digits(each.interval[1])}` : '',
      ]),
    ),
  )
}

export function drift(report: CompareReport): string {
  const points = report.driftOverTime
  const table = report.tables?.find(each => each.table === 'drift')
  if (!table || table.extent === null)
    return section('Drift', say('The runs have no window of drift in common.'))
  return section(
    'Drift',
    say(agreementText(table.exact, 'figures that follow from the log alone')),
    table.soft.both + table.soft.onlyReplay + table.soft.onlyWith === 0
      ? ''
      : say(agreementText(table.soft, 'figures of features as served, embeddings and latency')),
    points.every(({ difference }) => difference === 0)
      ? ''
      : `<figure>${timeLines(
          points.map(({ statistic, at, difference }) => ({
            series: statistic,
            at,
            value: difference,
          })),
          'Largest difference of a drift figure, by time',
        )}<figcaption>Largest difference of a figure among the windows of a time, any subject and segment.</figcaption></figure>`,
  )
}

function agreementText({ both, equal, onlyReplay, onlyWith }: Agreement, of: string): string {
  return `Of ${digits(both)} ${of} that both have, ${share(equal, both) || 'none'} are equal; ${digits(onlyReplay)} are in the replay alone, ${digits(onlyWith)} in the other alone.`
}
