/**
 * `run --workers N`: N processes of the same command in this one's process group. A child that dies is started again with
 * back-off; one that says that starting again can't help (`supervised.ts`) stops all, its sentence is said once. SIGTERM
 * stops all in order, a second one ends at once. Children are told of the supervisor's death by the channel between them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import { allocatorVariables } from './allocator.ts'
import { EXIT } from './call.ts'
import { FATAL_EXIT, sentenceOf } from './supervised.ts'

const FIRST_BACKOFF_MS = 250
const LONGEST_BACKOFF_MS = 15_000
/** A child that lived this long begins again with the shortest back-off. */
const STEADY_MS = 30_000

export async function supervise(
  workers: number,
  argumentsOf: (worker: number) => string[],
  log: Logger,
): Promise<number> {
  const children = new Map<number, ChildProcess>()
  let stopping = false
  let exitCode = 0
  let fatal: string | undefined
  let endPauses: () => void = () => undefined
  const stopped = new Promise<void>(resolve => {
    endPauses = resolve
  })
  const runs = Array.from({ length: workers }, (_, worker) => keep(worker))

  async function keep(worker: number): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS
    while (!stopping) {
      const startedAt = Date.now()
      const code = await once(worker).catch(error => {
        children.delete(worker)
        log.error({ worker, error: messageOf(error) }, 'worker not started')
        return 1
      })
      if (stopping) {
        if (code !== 0 && exitCode === 0) exitCode = EXIT.failed
        return
      }
      if (code === EXIT.wrongCall || code === FATAL_EXIT) {
        // wrong for every worker, and stays wrong
        exitCode = code === FATAL_EXIT ? EXIT.failed : code
        if (fatal !== undefined) process.stderr.write(`freshet: ${fatal}\n`)
        log.error({ worker, code }, 'a worker ended for good: all are stopped')
        stopAll('SIGTERM')
        return
      }
      if (Date.now() - startedAt > STEADY_MS) backoffMs = FIRST_BACKOFF_MS
      log.warn({ worker, code, backoffMs }, 'worker ended; it is started again')
      await pause(backoffMs)
      backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS)
    }
  }

  /** Errors: what keeps the system from starting a process, memory for instance. */
  function once(worker: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, argumentsOf(worker), {
        stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
        env: { ...allocatorVariables, ...process.env },
      })
      children.set(worker, child)
      child.on('message', message => {
        fatal ??= sentenceOf(message)
      })
      child.on('error', error => {
        if (child.pid === undefined) reject(error)
        else log.error({ worker, pid: child.pid, error: messageOf(error) }, 'worker')
      })
      child.once('exit', (code, signal) => {
        children.delete(worker)
        log.info({ worker, pid: child.pid, code, signal }, 'worker left')
        resolve(code ?? 1)
      })
      log.info({ worker, pid: child.pid }, 'worker started')
    })
  }

  /** A back-off, which a stop cuts short. */
  async function pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const over = new Promise(resolve => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([over, stopped])
    clearTimeout(timer)
  }

  function stopAll(signal: NodeJS.Signals): void {
    stopping = true
    endPauses()
    for (const child of children.values()) child.kill(signal)
  }

  const onSignal = (): void => {
    if (stopping) {
      stopAll('SIGKILL')
      process.exit(1)
    }
    stopAll('SIGTERM')
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  await Promise.all(runs)
  return exitCode
}
