/** An archive of a log of plain JSON, and `freshet replay` run on it as a user would, for tests of the command. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Place } from '../e2e/command.ts'
import { newLog, run, T0 } from './archived-log.ts'

const program = join(import.meta.dirname, '../../bin/freshet.js')

/** The nth event of a log in which `users` users watch and look, `everyMs` apart. */
export function event(n: number, { users = 50, everyMs = 1_000, from = T0 } = {}) {
  const ts = from + n * everyMs
  const userId = `u${(n * 7919) % users}`
  const itemId = `i${(n * 31) % 97}`
  const base = { eventId: `e${n}`, userId, itemId, ts, consent: 'full' }
  const value =
    n % 3 === 0
      ? { type: 'impression', ...base, requestId: `r${n}`, position: n % 10 }
      : {
          type: 'watch',
          ...base,
          playId: `p${n}`,
          seq: 1,
          watchedMs: (n * 977) % 60_000,
          durationMs: 60_000,
        }
  return { key: Buffer.from(userId), value: Buffer.from(JSON.stringify(value)), timestamp: ts }
}

export const lastAt = (events: number, everyMs = 1_000): number => T0 + (events - 1) * everyMs

/** Into a new folder. `erasedAt`: with these events the users of these events ask to be erased. */
export async function archiveOf(
  events: number,
  {
    partitions = 2,
    everyMs = 1_000,
    erasedAt = [] as readonly number[],
    to = mkdtempSync(join(tmpdir(), 'freshet-replayed-')),
  } = {},
): Promise<string> {
  const log = await newLog(partitions)
  for (let n = 0; n < events; n += 500)
    await log.send(
      'events',
      Array.from({ length: Math.min(500, events - n) }, (_, i) => event(n + i, { everyMs })),
    )
  for (const n of erasedAt) {
    const { key, timestamp } = event(n, { everyMs })
    const erasure = { eventId: `erase ${n}`, userId: key.toString(), ts: timestamp }
    await log.send('erasures', [{ key, value: log.encoder.encode('Erasure', erasure), timestamp }])
  }
  await run(to, { transport: log.transport, source: log.registry })
  await log.transport.close()
  return to
}

/** A folder of its own, without sinks: all state stays in the replays' folders. */
export class Workshop implements Place {
  readonly cwd = mkdtempSync(join(tmpdir(), 'freshet-replay-'))
  readonly variables: Record<string, string> = {
    FRESHET_REDIS_URL: 'none',
    FRESHET_CLICKHOUSE_URL: 'none',
  }

  folder(name: string): string {
    return join(this.cwd, '.freshet', 'replays', name)
  }

  remove(): void {
    rmSync(this.cwd, { recursive: true, force: true })
  }
}

/** A call that runs on while the test does other things. */
export class Started {
  private readonly child: ChildProcess
  private readonly exited: Promise<number | null>
  output = ''

  constructor({ cwd, variables }: Place, ...args: string[]) {
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('FRESHET_'))
    this.child = spawn(process.execPath, [program, ...args], {
      cwd,
      env: { ...Object.fromEntries(own), ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', chunk => {
        this.output += chunk
      })
    this.exited = new Promise(resolve => this.child.once('close', code => resolve(code)))
    process.once('exit', () => this.child.kill('SIGKILL'))
  }

  /** Its exit code, once it ended by itself; null after a kill. */
  get ended(): Promise<number | null> {
    return this.exited
  }

  async signal(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal)
    return this.exited
  }

  /** Fails where it ends before. */
  async until(holds: () => boolean | Promise<boolean>): Promise<void> {
    let code: number | null | undefined
    void this.exited.then(ended => {
      code = ended
    })
    while (!(await holds())) {
      if (code !== undefined) throw new Error(`it ended with ${code}:\n${this.output}`)
      await sleep(50)
    }
  }
}
