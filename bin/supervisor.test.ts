/** The supervisor of `run --workers N`, in a process of its own with children that die in every way. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'

const program = join(import.meta.dirname, '../test/support/supervised-program.ts')
const running: ChildProcess[] = []

afterEach(() => {
  for (const child of running.splice(0)) killGroup(child)
})

function killGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-(pid as number), 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function start(workers: number, how: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', program, String(workers), how], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      text += chunk
    })
  const closed = new Promise<number | null>(resolve => child.once('close', resolve))
  const seen = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(found => found[1])
  return {
    child,
    closed,
    text: () => text,
    children: () => seen(/^child (\d+)$/gm).map(Number),
    stopped: () => seen(/^child (\d+) stopped$/gm),
    orphans: () => seen(/^orphan (\d+) left$/gm),
    until: async (holds: () => boolean): Promise<void> => {
      while (!holds()) await sleep(20)
    },
  }
}

describe('the supervisor', () => {
  it('starts a killed child again and stops all in order', async () => {
    const run = start(2, 'works')
    await run.until(() => run.children().length === 2)
    process.kill(run.children()[0], 'SIGKILL')
    await run.until(() => run.children().length === 3)
    run.child.kill('SIGTERM')
    expect(await run.closed, run.text()).toBe(0)
    expect(run.stopped()).toHaveLength(2)
  })

  it('stops all for what no start mends, and says it once', async () => {
    const run = start(3, 'fatal')
    expect(await run.closed, run.text()).toBe(1)
    expect(run.children().length).toBeLessThanOrEqual(3)
    expect(run.text().match(/records are gone/g)).toHaveLength(1)
  })

  it('goes on starting a child whose dependency is away', async () => {
    const run = start(1, 'unreachable')
    await run.until(() => run.children().length === 3)
    run.child.kill('SIGTERM')
    // a child that has just ended by itself when the signal comes failed
    expect([0, 1], run.text()).toContain(await run.closed)
  })

  it('tries again where no process can be started', async () => {
    const run = start(1, 'unspawnable')
    await run.until(() => run.children().length === 1 || run.child.exitCode !== null)
    run.child.kill('SIGTERM')
    expect(await run.closed, run.text()).toBe(0)
    expect(run.text()).toContain('ENOENT')
  })

  it('ends at once at the second signal, whatever its children do', async () => {
    const run = start(2, 'hangs')
    await run.until(() => run.children().length === 2)
    run.child.kill('SIGTERM')
    await run.until(() => run.stopped().length === 2)
    run.child.kill('SIGTERM')
    expect(await run.closed, run.text()).toBe(1)
  })

  it('leaves no child behind when it is killed', async () => {
    const run = start(2, 'works')
    await run.until(() => run.children().length === 2)
    run.child.kill('SIGKILL')
    await run.until(() => run.orphans().length === 2)
    await run.closed
  })
})
