/** A plan as a person reads it. */
import { goneText, type Plan } from '../../replay/plan/plan.ts'
import type { PlannedTopic } from '../../replay/plan/ranges.ts'
import { bytes, count, durationText, paint, plural, table, time } from '../terminal.ts'

/** Partitions whose offsets are listed. */
const MOST_PARTITIONS = 8

export function planText(plan: Plan): string {
  const { source, state, gone, records, rate } = plan
  const seconds = records / Math.max(1, rate.perSecond)
  const set = Object.entries(plan.set)
  const lines: [string, string][] = [
    ['reads', source.kind === 'kafka' ? 'the live topics' : `the archive ${source.dir}`],
    ['topologies', plan.topologies],
    ...(set.length === 0
      ? []
      : [
          ['options', set.map(([name, value]) => `${name}=${value}`).join(', ')] as [
            string,
            string,
          ],
        ]),
    ['state', state === 'empty' ? 'begins empty' : `goes on from that of ${state}`],
    ['erasures', plan.erasures === 0 ? 'none' : `${count(plan.erasures)}, read before all else`],
    [
      'takes',
      `about ${durationText(seconds * 1000)} for ${plural(records, 'record')}, at ${count(rate.perSecond)} a second (${rate.from}), ${plural(plan.workers, 'process', 'processes')}, speed ${plan.speed}`,
    ],
    ['throttle', plan.throttle],
    ...plan.writes.map((what, i): [string, string] => [i === 0 ? 'writes' : '', what]),
    ...plan.notes.map((what, i): [string, string] => [i === 0 ? 'note' : '', what]),
  ]
  const width = Math.max(...lines.map(([name]) => name.length))
  return [
    `${paint('bold', `Replay ${plan.name}`)}`,
    ...lines.map(([name, what]) => `  ${name.padEnd(width)}  ${what}`),
    '',
    table([['topic', 'records', 'size', 'from', 'to', 'offsets'], ...plan.topics.map(row)]),
    ...(gone.length === 0
      ? []
      : [paint('yellow', `gone, and accepted: ${gone.map(goneText).join('; ')}`)]),
  ].join('\n')
}

function row({ topic, partitions }: PlannedTopic): (string | number)[] {
  const times = (of: 'firstMs' | 'lastMs'): number[] =>
    partitions.map(one => one[of]).filter(ms => ms !== null)
  const first = times('firstMs')
  const last = times('lastMs')
  const offsets = partitions
    .slice(0, MOST_PARTITIONS)
    .map(({ range: [from, to] }) => (to > from ? `${from}-${to - 1}` : 'none'))
  if (partitions.length > MOST_PARTITIONS)
    offsets.push(`and ${partitions.length - MOST_PARTITIONS} more`)
  return [
    topic,
    partitions.reduce((sum, one) => sum + one.records, 0),
    bytes(partitions.reduce((sum, one) => sum + one.bytes, 0)),
    first.length === 0 ? '-' : time(Math.min(...first)),
    last.length === 0 ? '-' : time(Math.max(...last)),
    offsets.join(' '),
  ]
}
