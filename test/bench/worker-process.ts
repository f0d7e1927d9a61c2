/** `freshet run` as a child, its metrics and its CPU. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const command = join(import.meta.dirname, '../../bin/freshet.js')
/** The same, run from its sources: `unfenced` takes the protocol away, `fenced` leaves it. */
const benchWorker = join(import.meta.dirname, 'fencing-worker.ts')

export interface Sample {
  readonly atMs: number
  /** User and system CPU of the process, seconds. */
  readonly cpuSeconds: number
  readonly events: number
  readonly changelogBytes: number
  readonly residentMb: number
}

export class WorkerProcess {
  readonly child: ChildProcess
  private output = ''
  private port = 0

  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    mode: 'run' | 'fenced' | 'unfenced' = 'run',
  ) {
    const program = mode === 'run' ? [command, 'run'] : ['--import', 'tsx', benchWorker, mode]
    this.child = spawn(process.execPath, [...program, '--http.port', '0', ...args], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', chunk => {
        this.output += chunk
        const found = /"port":(\d+)/.exec(this.output)
        if (found) this.port = Number(found[1])
      })
  }

  async ready(): Promise<void> {
    for (let i = 0; i < 600; i++) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`the worker ended:\n${this.output}`)
      if (this.port > 0) {
        const answer = await fetch(`http://127.0.0.1:${this.port}/readyz`).catch(() => undefined)
        if (answer?.status === 200) return
      }
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    throw new Error(`the worker is not ready:\n${this.output}`)
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.port}/metrics`)).text()
  }

  async sample(topology = 'user'): Promise<Sample> {
    const text = await this.metrics()
    const [user, system] = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8')
      .split(') ')[1]
      .split(' ')
      .slice(11, 13)
      .map(Number)
    return {
      atMs: Date.now(),
      cpuSeconds: (user + system) / 100,
      events: sumOf(text, 'freshet_events_total', `topology="${topology}"`),
      changelogBytes: sumOf(text, 'freshet_changelog_bytes_total', ''),
      residentMb: sumOf(text, 'process_resident_memory_bytes', '') / 1e6,
    }
  }

  async stop(): Promise<void> {
    // one that was killed has a signal and no exit code, and has sent its `exit` already
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = new Promise(resolve => this.child.once('exit', resolve))
    this.child.kill('SIGTERM')
    await exited
  }

  get log(): string {
    return this.output
  }
}

/** Sum over all series of a metric whose labels hold `label`. */
export function sumOf(text: string, name: string, label: string): number {
  return text
    .split('\n')
    .filter(
      line => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label),
    )
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** A quantile of a Prometheus histogram by linear interpolation within the bucket. */
export function quantileOf(text: string, name: string, label: string, q: number): number {
  const byBound = new Map<number, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}_bucket{`) || !line.includes(label)) continue
    const bound = /le="([^"]+)"/.exec(line)?.[1] ?? '+Inf'
    const le = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound)
    byBound.set(le, (byBound.get(le) ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1)))
  }
  const bounds = [...byBound].sort((a, b) => a[0] - b[0])
  const total = bounds.at(-1)?.[1] ?? 0
  let below = 0
  let from = 0
  for (const [bound, cumulative] of bounds) {
    if (cumulative >= q * total && cumulative > below)
      return Number.isFinite(bound)
        ? from + ((q * total - below) / (cumulative - below)) * (bound - from)
        : Number.POSITIVE_INFINITY
    below = cumulative
    from = bound
  }
  return Number.NaN
}
