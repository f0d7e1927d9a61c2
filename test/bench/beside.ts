/** A replay beside a live worker: `freshet replay start` over an archive, throttled by live's lag, for as long as `work` takes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeArchive } from '../../replay/shadow/bench-log.ts'

const RECORDS = 2_000_000
const USERS = 50_000
const BEGIN_MS = 8_000

/** Makes the archive that is replayed, unless `dir` holds one. */
export async function benchArchive(dir: string): Promise<string> {
  if (!existsSync(join(dir, 'manifest.json'))) await makeArchive(dir, RECORDS, USERS)
  return dir
}

/** Replays while `work` runs, which makes the live topics; it may come to its end before. */
export async function beside<T>(
  archive: string,
  environment: Readonly<Record<string, string>>,
  work: () => Promise<T>,
): Promise<T> {
  const data = mkdtempSync(join(tmpdir(), 'freshet-beside-'))
  const args = ['bin/freshet.js', 'replay', 'start', 'beside', '--source', archive]
  let replay: ChildProcess | undefined
  // the worker's topics are there by then, and it is yet to warm up
  const begin = setTimeout(() => {
    replay = spawn(process.execPath, [...args, '--data', data, '--json'], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }, BEGIN_MS)
  try {
    return await work()
  } finally {
    clearTimeout(begin)
    const running = replay
    if (running?.exitCode === null) {
      running.kill('SIGTERM')
      await new Promise(resolve => running.once('exit', resolve))
    }
    rmSync(data, { recursive: true, force: true })
  }
}
