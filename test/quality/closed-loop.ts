/**
 * `npm run quality -- closed-loop [--events N] [--days N] [--seed N] [--every N] [--json] [--OPTION VALUE ...]`: the recommender serves the
 * simulator's default world and learns from what its own lists caused, once as it is and once without the response learner.
 * docs/quality.md has results.
 */
import { parseArgs } from 'node:util'
import { resolveOptions } from '../../streams/options.ts'
import { type TopologyOptions, topologyOptions } from '../../topologies/options.ts'
import { closedLoop, type LoopReport, type Point } from './loop/loop.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '200000' },
    days: { type: 'string', default: '5' },
    every: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
  },
})
const events = Number(values.events)
const variants: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'with the response learner': {},
  'without the response learner': { 'response.weight': '0' },
}

function optionsOf(more: Readonly<Record<string, string>>): TopologyOptions {
  const given = Object.fromEntries(
    values.set.map(text => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
  )
  // popularity and shared lists are made each minute: event time runs some hundred times as fast as a machine counts
  const flags = { 'global.commitInterval': '60s', ...given, ...more }
  return resolveOptions(topologyOptions, { flags, environment: {}, file: {} }).values
}

function line(p: Point): string {
  const three = (x: number): string => x.toFixed(3)
  return [
    `${String(p.events).padStart(7)} events, day ${p.days.toFixed(1)}: reward served ${three(p.served)}, oracle ${three(p.oracle)}, informed ${three(p.informed)}, best of all ${three(p.bestOfAll)}, counted ${three(p.counted)}, random ${three(p.random)}`,
    `of the oracle ${(p.served / p.oracle).toFixed(2)}, of the best of all ${(p.served / p.bestOfAll).toFixed(2)}`,
    `coverage ${three(p.coverage)}, Gini ${three(p.gini)}, own lists ${(p.own * 100).toFixed(0)}% of ${p.pages} pages (${p.unlisted} without a list)`,
  ].join('; ')
}

const reports: Record<string, LoopReport> = {}
for (const [name, more] of Object.entries(variants)) {
  if (values.only !== undefined && !name.startsWith(values.only)) continue
  if (!values.json) console.log(`\n${name}`)
  const report = await closedLoop({
    seed: Number(values.seed),
    options: optionsOf(more),
    events,
    ratePerSecond: events / (Number(values.days) * 86_400),
    every: Number(values.every),
    onPoint: point => {
      if (!values.json) console.log(line(point))
    },
  })
  reports[name] = report
  if (values.json) continue
  for (const { from, shown, fair } of report.newItems)
    console.log(
      `good new items after ${from} impressions: ${shown} of ${fair} fair ones (${(shown / fair).toFixed(2)})`,
    )
  if (report.refused > 0) console.log(`${report.refused} records refused`)
}
if (values.json) console.log(JSON.stringify(reports, null, 2))
