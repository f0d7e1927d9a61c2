/**
 * Service processes for tests: each in a folder of its own under `.services/`, with its pid beside it, so that whoever
 * ends the run can end them all and a run that was killed is swept by the next one.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const servicesRoot = path.join(
  path.dirname(fileURLToPath(import.meta.url)),
  '..',
  '..',
  '.services',
)

/** The folder of a run's services, named for the process that sweeps it in the end. */
export const runFolder = (pid = process.pid): string => path.join(servicesRoot, `run-${pid}`)

export async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** A new folder for one service of a run. */
export function serviceFolder(run: string, name: string): string {
  const folder = path.join(run, `${name}-${randomBytes(4).toString('hex')}`)
  fs.mkdirSync(folder, { recursive: true })
  return folder
}

export const hasTool = (name: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' }).status === 0

/** Fails with one sentence where a tool is missing. */
export function needTool(name: string, install: string): void {
  if (!hasTool(name)) throw new Error(`${name} is missing: ${install}`)
}

/** Runs a program to its end; its output is in the error. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): string {
  try {
    return execFileSync(command, args, {
      ...options,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    const tail = `${stdout}${stderr}`.trim().split('\n').slice(-10).join('\n')
    throw new Error(`${command} ${args.join(' ')} failed:\n${tail}`, { cause: error })
  }
}

export interface ServiceProcess {
  readonly pid: number
  readonly exited: Promise<void>
}

/** Starts a process that outlives its starter, its output in `<folder>/output.log`, ready once `readyText` is in it. */
export async function startProcess(
  folder: string,
  command: string,
  args: readonly string[],
  readyText: string,
): Promise<ServiceProcess> {
  const logFile = path.join(folder, 'output.log')
  const begun = fs.existsSync(logFile) ? fs.statSync(logFile).size : 0
  const output = fs.openSync(logFile, 'a')
  const child: ChildProcess = spawn(command, args, {
    cwd: folder,
    detached: true,
    stdio: ['ignore', output, output],
  })
  fs.closeSync(output)
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve).once('error', reject)
  })
  child.unref()
  const pid = child.pid as number
  fs.writeFileSync(path.join(folder, 'pid'), String(pid))
  for (let waited = 0; waited < 60_000; waited += 50) {
    const text = fs.readFileSync(logFile, 'utf8').slice(begun)
    if (text.includes(readyText)) return { pid, exited }
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(
        `${command} ended at its start:\n${text.trim().split('\n').slice(-15).join('\n')}`,
      )
    await sleep(50)
  }
  process.kill(pid, 'SIGKILL')
  throw new Error(`${command} was not ready within 60 s: see ${logFile}`)
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Ends a process and waits until it is gone. */
export async function endProcess(pid: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!isAlive(pid)) return
  process.kill(pid, signal)
  for (let waited = 0; isAlive(pid); waited += 20) {
    if (waited > 10_000) process.kill(pid, 'SIGKILL')
    await sleep(20)
  }
}

/** Ends every service of a run that is still there and removes its folder. */
export async function sweepRun(folder: string): Promise<void> {
  if (!fs.existsSync(folder)) return
  for (const service of fs.readdirSync(folder)) {
    const pidFile = path.join(folder, service, 'pid')
    if (!fs.existsSync(pidFile)) continue
    const pid = Number(fs.readFileSync(pidFile, 'utf8'))
    if (isOurs(pid, path.join(folder, service))) await endProcess(pid, 'SIGKILL')
  }
  fs.rmSync(folder, { recursive: true, force: true })
}

/** A pid may have been given to another process since: ours works in its service folder. */
function isOurs(pid: number, folder: string): boolean {
  if (!isAlive(pid)) return false
  try {
    return fs.readlinkSync(`/proc/${pid}/cwd`) === fs.realpathSync(folder)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && !fs.existsSync('/proc')
  }
}

/** Sweeps runs whose process is gone: they were killed before they could clean up. */
export async function sweepAbandoned(): Promise<void> {
  if (!fs.existsSync(servicesRoot)) return
  for (const name of fs.readdirSync(servicesRoot)) {
    const pid = /^run-(\d+)$/.exec(name)?.[1]
    if (pid && !isAlive(Number(pid))) await sweepRun(path.join(servicesRoot, name))
  }
}

/** Runs `work` alone among all processes that use the same lock folder. */
export async function withLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  fs.mkdirSync(path.dirname(lock), { recursive: true })
  for (;;) {
    try {
      fs.mkdirSync(lock)
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const holder = Number(readIfThere(path.join(lock, 'pid')) ?? process.pid)
      if (!isAlive(holder)) fs.rmSync(lock, { recursive: true, force: true })
      else await sleep(100)
    }
  }
  try {
    fs.writeFileSync(path.join(lock, 'pid'), String(process.pid))
    return await work()
  } finally {
    fs.rmSync(lock, { recursive: true, force: true })
  }
}

export const readIfThere = (file: string): string | undefined =>
  fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined
