/** The command as a user runs it: `node bin/freshet.js ...` in a process of its own, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const program = join(import.meta.dirname, '../../bin/freshet.js')

export interface Place {
  readonly cwd: string
  /** FRESHET_... variables; those of the test run itself are not passed on. */
  readonly variables: Readonly<Record<string, string>>
}

export interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Process groups that still run; ended with the test process, however it ends. */
const alive = new Set<number>()
process.once('exit', () => {
  for (const pid of alive) signalGroup(pid, 'SIGKILL')
})

/** Ends all that this test file started and that still runs: also what never became ready. */
export async function endRuns(): Promise<void> {
  for (const pid of alive) signalGroup(pid, 'SIGKILL')
  while (alive.size > 0) await sleep(20)
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function start({ cwd, variables }: Place, args: readonly string[]): ChildProcess & { pid: number } {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('FRESHET_'))
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { ...Object.fromEntries(own), ...variables },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  }) as ChildProcess & { pid: number }
  alive.add(child.pid)
  child.once('exit', () => alive.delete(child.pid))
  return child
}

/** Runs a call to its end. */
export function freshet(place: Place, ...args: string[]): Promise<Answer> {
  const child = start(place, args)
  const out = { stdout: '', stderr: '' }
  child.stdout?.on('data', chunk => {
    out.stdout += chunk
  })
  child.stderr?.on('data', chunk => {
    out.stderr += chunk
  })
  return new Promise(resolve => child.once('close', code => resolve({ code, ...out })))
}

/** A call that must be done; its answer as JSON. */
export async function answerOf(place: Place, ...args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await freshet(place, ...args, '--json')
  if (code !== 0) throw new Error(`freshet ${args.join(' ')} ended with ${code}:\n${stderr}`)
  return JSON.parse(stdout)
}

export interface LogLine {
  readonly msg: string
  readonly [field: string]: unknown
}

/** `freshet run`, until it is stopped or killed. */
export class Run {
  private readonly child: ChildProcess & { pid: number }
  private text = ''
  private readonly exited: Promise<number | null>

  constructor(place: Place, ...args: string[]) {
    this.child = start(place, ['run', '--http.port', '0', ...args])
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', chunk => {
        this.text += chunk
      })
    this.exited = new Promise(resolve => this.child.once('close', code => resolve(code)))
  }

  get output(): string {
    return this.text
  }

  /** What it logged, and its workers with it. */
  get log(): LogLine[] {
    return this.text.split('\n').flatMap(line => (line.startsWith('{') ? [parsed(line)] : []))
  }

  /** Ports of /metrics and /readyz, one a worker that was ever started. */
  get ports(): number[] {
    return this.log.filter(line => line.msg.startsWith('running;')).map(line => Number(line.port))
  }

  /** Pids of the workers that a supervisor started, in order. */
  get workers(): number[] {
    return this.log.filter(line => line.msg === 'worker started').map(line => Number(line.pid))
  }

  /** Waits until `workers` of it are ready. */
  async ready(workers = 1): Promise<this> {
    const gone = this.exited.then(code => {
      throw new Error(`freshet run ended with ${code}:\n${this.output}`)
    })
    await Promise.race([this.areReady(workers), gone])
    gone.catch(() => undefined)
    return this
  }

  private async areReady(workers: number): Promise<void> {
    for (;;) {
      const states = await Promise.all(this.ports.map(port => isReady(port)))
      if (states.filter(ready => ready).length >= workers) return
      await sleep(200)
    }
  }

  /** The first worker's metrics as text. */
  async metrics(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.ports.at(-1)}/metrics`)
    return response.text()
  }

  /** kill -9 of all its processes, as the machine's end would. */
  async kill9(): Promise<void> {
    if (alive.has(this.child.pid)) signalGroup(this.child.pid, 'SIGKILL')
    await this.exited
  }

  /** To all its processes: SIGSTOP is what a long pause is to them, SIGCONT its end. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    signalGroup(this.child.pid, signal)
  }

  /** Its exit code, once it ended by itself. */
  get ended(): Promise<number | null> {
    return this.exited
  }

  /** SIGTERM to the command itself; gives its exit code. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM')
    return this.exited
  }
}

function parsed(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    // the last line may be half there
    return { msg: '' }
  }
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok
  } catch {
    // the worker of that port is gone
    return false
  }
}
