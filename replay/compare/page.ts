/** The report as one HTML file: no network, no script, light and dark. The verdict stands first. */

import { drift, lists, parity, prequential, quality } from './page-figures.ts'
import { grid, say, section } from './page-parts.ts'
import { counts, sessions, tables } from './page-tables.ts'
import { digits, escaped, minute } from './plots.ts'
import { type CompareReport, holds, verdictOf } from './report.ts'
import { style } from './style.ts'

export function page(report: CompareReport): string {
  const other = report.with === 'live' ? 'the live system' : `replay ${report.with}`
  const verdict = verdictOf(report.checks)
  const title = `Replay ${report.replay} against ${other}`
  const kind = report.checks.every(({ holds: does }) => does === null)
    ? 'untold'
    : holds(report.checks)
      ? 'good'
      : 'bad'
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
<p class="verdict ${kind}">${escaped(verdict)}</p>
${[what(report), checks(report), exact(report), lists(report), parity(report), quality(report), prequential(report), drift(report), counts(report), sessions(report), tables(report), notes(report)].join('\n')}
</main>
</body>
</html>
`
}

function what(report: CompareReport): string {
  const { positions } = report
  const options = Object.entries(report.options)
  return section(
    'What was compared',
    grid(
      ['', `replay ${report.replay}`, report.with],
      [
        ['state began as', report.state.replay, report.state.with],
        ['records that only it has taken in', positions.ahead, positions.behind],
        ...options.map(([name, { replay, with: other }]) => [`option ${name}`, replay, other]),
      ],
    ),
    say(
      `Compared ${minute(report.at)} UTC. ${positions.same ? 'Both stand at the same records.' : 'They do not stand at the same records.'}${options.length === 0 ? ' Both have the same options.' : ''}`,
    ),
    `<details><summary>Positions, by topic and partition: the next record</summary>${grid(
      ['partition', report.replay, report.with],
      [...new Set([...Object.keys(positions.replay), ...Object.keys(positions.with)])]
        .sort()
        .map(name => [
          name,
          String(positions.replay[name] ?? 'none'),
          String(positions.with[name] ?? 'none'),
        ]),
    )}</details>`,
  )
}

function checks(report: CompareReport): string {
  const rows = report.checks.map(({ name, what: words, value, least, holds: does, reason }) => {
    const mark = does === null ? 'untold' : does ? 'good' : 'bad'
    const word =
      does === null ? (least === null ? 'not asked' : 'not told') : does ? 'holds' : 'beyond'
    return `<tr><td><span class="mark-${mark}">${word}</span></td><td>${name}</td><td class="number">${value === null ? '' : digits(value)}</td><td class="number">${least === null ? 'off' : digits(least)}</td><td>${escaped(reason === '' ? words : `${words}: ${reason}`)}</td></tr>`
  })
  return section(
    'Tolerances',
    `<div class="wide checks"><table><thead><tr><th></th><th>name</th><th>value</th><th>at least</th><th>what</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`,
  )
}

function exact(report: CompareReport): string {
  const rows = Object.entries(report.exact).map(([part, equal]) => [
    part,
    equal === null ? 'not told' : equal ? 'equal' : 'differs',
    report.digest.replay?.[part as 'labels']?.slice(0, 16) ?? '',
    report.digest.with?.[part as 'labels']?.slice(0, 16) ?? '',
  ])
  return section(
    'Exact parts',
    report.exactReason === '' ? '' : say(`Not told: ${report.exactReason}.`),
    grid(['part', '', `digest of ${report.replay}`, `digest of ${report.with}`], rows),
  )
}

function notes({ notes: found }: CompareReport): string {
  if (found.length === 0) return ''
  return section('Notes', `<ul>${found.map(note => `<li>${escaped(note)}</li>`).join('')}</ul>`)
}
