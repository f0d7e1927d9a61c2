/**
 * `npm run quality -- drift-alarms [--rate 30] [--users 5000] [--only NAME]`: what the alarms make of the simulator's named
 * drifts: how long after the drift began each subject's alarm was raised, what else alarmed, and how many alarms a quiet
 * day and a week with seasons raise. The topologies themselves, in lockstep by event time; no transport, no tables.
 */
import { parseArgs } from 'node:util'
import { allOptions } from '../../bin/all-options.ts'
import { createWorld } from '../../bin/simulator/world.ts'
import { openLockstep } from '../../replay/lockstep/lockstep.ts'
import { resolveOptions } from '../../streams/options.ts'

const hour = 3_600_000
const day = 24 * hour
const start = Date.UTC(2026, 0, 5)

const { values: flags } = parseArgs({
  options: {
    rate: { type: 'string', default: '30' },
    users: { type: 'string', default: '5000' },
    only: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
  },
})

interface Case {
  readonly name: string
  /** As `freshet simulate --drift` takes them. */
  readonly drift: readonly string[]
  /** Since the start, ms. */
  readonly driftAt: number
  readonly lasts: number
}

// every user has been there before and sessions follow on each other as they always will: 12 h unseen; the first reference is whole 3.5 h after the start, that of session lengths half an hour after 6 h
const at = 8 * hour
const from = (text: string): Pick<Case, 'drift' | 'driftAt'> => ({
  drift: [`${text}@${at}ms`],
  driftAt: at,
})
const cases: readonly Case[] = [
  { name: 'quiet', drift: [], driftAt: Number.POSITIVE_INFINITY, lasts: at + day },
  { name: 'shift', ...from('watched_ratio:shift=-0.2'), lasts: at + 2 * hour },
  { name: 'small shift', ...from('watched_ratio:shift=-0.05'), lasts: at + 2 * hour },
  { name: 'scale', ...from('watched_ratio:scale=0.7'), lasts: at + 2 * hour },
  { name: 'new category', ...from('context.device:new=tv'), lasts: at + 2 * hour },
  { name: 'label flip', ...from('label:flip=0.3'), lasts: at + 2 * hour },
  { name: 'calibration loss', ...from('prediction:shift=1'), lasts: at + 6 * hour },
  {
    name: 'slow, over a day',
    drift: [`watched_ratio:shift=-0.2@${at}ms/1d`],
    driftAt: at,
    lasts: at + day,
  },
  {
    name: 'weekly season',
    drift: ['watched_ratio:season=0.1@0s'],
    driftAt: Number.POSITIVE_INFINITY,
    lasts: 7 * day,
  },
]

interface Raised {
  readonly rule: string
  readonly subject: string
  /** When it was told, ms since the start. */
  readonly at: number
}

async function run(one: Case): Promise<void> {
  const given = Object.fromEntries(
    // commits of 5 s: what is counted does not depend on them, and a quiet stream would be commits alone
    ['user.commitInterval=5s', ...flags.set].map(pair => pair.split(/=(.*)/s, 2)),
  )
  const { values } = resolveOptions(allOptions, { flags: given, environment: {}, file: {} })
  const raised: Raised[] = []
  const world = createWorld({
    seed: 11,
    startTs: start,
    users: Number(flags.users),
    items: 2_000,
    drift: one.drift,
    surfaces: ['home', 'player'],
  })
  const lockstep = await openLockstep({
    options: values,
    topologies: 'sessions,labels,drift',
    pace: 'asynchronous',
    startAt: start,
    onRows(table, rows, now) {
      if (table !== 'alerts') return
      for (const row of rows)
        if (row.until === null) {
          const segment = row.segment === '' ? '' : `[${row.segment}]`
          raised.push({
            rule: String(row.rule),
            subject: `${row.subject}${segment}`,
            at: now - start,
          })
        }
    },
  })
  let events = 0
  const begun = process.cpuUsage()
  for (const event of world.events({ ratePerSecond: Number(flags.rate), warmUpMs: 12 * hour })) {
    if (event.at - start > one.lasts) break
    if (event.topic === 'items') lockstep.sendItem(event.key, event.record, event.at)
    else {
      const record = { ...event.record, type: event.kind.toLowerCase() }
      lockstep.send('events', event.key, Buffer.from(JSON.stringify(record)), event.at)
      events++
    }
  }
  const cpu = process.cpuUsage(begun)
  report(one, raised, events, (cpu.user + cpu.system) / 1e6)
}

function report(one: Case, raised: readonly Raised[], events: number, seconds: number): void {
  const early = raised.filter(alarm => alarm.at < one.driftAt)
  const first = new Map<string, Raised>()
  for (const alarm of raised)
    if (alarm.at >= one.driftAt) {
      const key = `${alarm.subject} ${alarm.rule}`
      if (!first.has(key)) first.set(key, alarm)
    }
  console.log(
    `\n${one.name}: ${one.drift.join(' ') || 'no drift'}; ${events} events, ${(one.lasts / hour).toFixed(0)} h, ${seconds.toFixed(0)} CPU-s`,
  )
  console.log(
    `  alarms ${one.driftAt === Number.POSITIVE_INFINITY ? 'in all' : 'before it'}: ${early.length}`,
  )
  for (const { rule, subject, at: when } of early.slice(0, 40))
    console.log(`    ${(when / hour).toFixed(2)} h  ${rule}  ${subject}`)
  for (const { rule, subject, at: when } of first.values())
    console.log(`  after ${((when - one.driftAt) / 60_000).toFixed(1)} min  ${rule}  ${subject}`)
}

for (const one of cases) if (flags.only === undefined || flags.only === one.name) await run(one)
