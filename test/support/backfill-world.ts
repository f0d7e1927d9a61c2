/** A log of 30 hours, an archive of it, and the tables that a live worker filled from it; the command as it is called. */
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { type ClickHouseStore, createClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type { OutsideRecord } from '../../streams/transport/port.ts'
import { run as archiveLog, newFolder } from './archived-log.ts'
import { until } from './until.ts'

export const hour = 3_600_000
const hours = 30
/** A whole hour, so late that the log still keeps it. */
export const t0 = Math.floor(Date.now() / hour) * hour - 40 * hour
export const folder = mkdtempSync(join(tmpdir(), 'freshet-backfill-'))
const options = [
  'drift.segments=surface',
  'drift.grace=2h',
  'drift.reference.warmUp=0s',
  'topologies=sessions,labels,drift,quality',
  'topics.partitions=2',
  'redis.url=none',
  'log.level=error',
]
export const flags = options.flatMap(option => ['--set', option])
/** The command's program, run from its source. */
export const program = ['--import', 'tsx', join(import.meta.dirname, '../../bin/main.ts')]

interface Event {
  readonly type: 'impression' | 'watch'
  readonly userId: string
  readonly ts: number
  readonly [name: string]: unknown
}

/** Three shows and plays a user and hour; what is watched falls by a fifth after 15 hours. */
function* events(): Generator<Event> {
  const random = randomFrom(hash53('backfill'))
  for (let h = 0; h < hours; h++) {
    const ofHour: Event[] = []
    for (let u = 0; u < 60; u++)
      for (let k = 0; k < 3; k++) {
        const ts = t0 + h * hour + Math.floor(random() * 4 * 60_000)
        const common = {
          userId: `user${u}`,
          itemId: `i${Math.floor(random() * 50)}`,
          requestId: `r${h}-${u}-${k}`,
          surface: u % 3 === 0 ? 'shorts' : 'home',
          context: { device: ['tv', 'phone', 'web'][Math.floor(random() * 3)] },
          consent: 'full',
        }
        const position = Math.floor(random() * 30)
        const eventId = `${h}-${u}-${k}`
        const score = random()
        ofHour.push({ type: 'impression', ...common, eventId, ts, position, score })
        const share = Math.min(1, random() * (h < 15 ? 1.1 : 0.88))
        for (const [seq, part] of [0.5, 1].entries())
          ofHour.push({
            type: 'watch',
            ...common,
            eventId: `${eventId}-${seq}`,
            ts: ts + 10_000 + Math.floor(part * share * 100_000),
            playId: eventId,
            seq,
            watchedMs: Math.floor(part * share * 100_000),
            durationMs: 100_000,
          })
      }
    yield* ofHour.sort((a, b) => a.ts - b.ts)
  }
}

export const log = [...events()]

/** Gives the archive's folder. */
export async function fill(): Promise<string> {
  const transport = createEmbeddedTransport({ dir: join(folder, 'log') })
  await transport.topics.create(
    ['events', 'items', 'erasures', 'references'].map(name => ({
      topic: `freshet.${name}`,
      partitions: name === 'references' ? 1 : 2,
      config: {},
    })),
  )
  const publisher = transport.publisher()
  for (let i = 0; i < log.length; i += 500)
    await publisher.send(
      'freshet.events',
      log.slice(i, i + 500).map(
        (event): OutsideRecord => ({
          key: Buffer.from(event.userId),
          value: Buffer.from(JSON.stringify(event)),
          timestamp: event.ts,
        }),
      ),
    )
  await publisher.close()
  const archive = newFolder()
  await archiveLog(archive, { transport, source: { find: async () => null } })
  await transport.close()
  return archive
}

/** Runs a worker until it has written all windows that the log closes, and nothing changes any more. */
export async function runLive(): Promise<void> {
  const args = [...program, 'run', '--data', folder, '--http.port', '0', ...flags]
  const child = spawn(process.execPath, [...args, '--log.level', 'info'])
  let port = 0
  child.stderr.on('data', (chunk: Buffer) => {
    port ||= Number(/"port":(\d+)/.exec(chunk.toString())?.[1] ?? 0)
  })
  try {
    await until(() => port > 0)
    let [written, since] = [0, Date.now()]
    await until(async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      const counts = text.matchAll(
        /^freshet_(?:drift_windows|ledger_windows_written)_total\S* (\d+)/gm,
      )
      const now = [...counts].reduce((sum, [, n]) => sum + Number(n), 0)
      if (now !== written) since = Date.now()
      written = now
      return written > 0 && Date.now() - since > 14_000
    })
  } finally {
    child.kill('SIGTERM')
  }
  await new Promise(resolve => child.once('exit', resolve))
}

export interface Answer {
  readonly code: number | string | undefined
  readonly out: string
  readonly err: string
}

/** The command as it is called, in this process: chdb takes one process a folder. */
export async function answerOf(made: Command, args: readonly string[]): Promise<Answer> {
  const said = { out: '', err: '' }
  const [out, err] = [process.stdout.write, process.stderr.write]
  process.stdout.write = ((text: string) => {
    said.out += text
    return true
  }) as typeof out
  process.stderr.write = ((text: string) => {
    said.err += text
    return true
  }) as typeof err
  try {
    await made.parseAsync([...args, '--data', folder, ...flags], { from: 'user' })
    return { code: process.exitCode ?? 0, ...said }
  } finally {
    process.exitCode = 0
    process.stdout.write = out
    process.stderr.write = err
  }
}

export const openLive = (): Promise<ClickHouseStore> =>
  createClickHouseStore({
    url: `chdb:${join(folder, 'clickhouse')}`,
    database: 'freshet',
    run: 'live',
    log: silentLogger,
    metrics: noMetrics,
    clock: systemClock,
    flushMs: 10,
  })
