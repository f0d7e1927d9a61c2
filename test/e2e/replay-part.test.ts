/** A process of a replay, when the one that leads is killed. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'

const dir = mkdtempSync(join(tmpdir(), 'freshet-remote-part-'))
afterAll(() => rmSync(dir, { recursive: true }))

const module = new URL('../../dist/replay/shadow/remote-part.js', import.meta.url).href

function program(name: string, text: string): string {
  const file = join(dir, `${name}.mjs`)
  writeFileSync(file, text)
  return file
}

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('a process of a replay', () => {
  it('ends at once when the process that leads is killed, whatever it waits for', async () => {
    const served = program(
      'served',
      `import { servePart } from '${module}'
      process.on('SIGTERM', () => {})
      const never = new Promise(() => setInterval(() => {}, 1000))
      const part = { open: async () => undefined, step: () => never, close: () => never }
      const inOrder = await servePart(async () => ({ part, close: () => never }))
      if (!inOrder) process.exit(1)`,
    )
    const leader = program(
      'leader',
      `import { RemotePart } from '${module}'
      const part = new RemotePart('${served}', [], {})
      await part.open({}, null)
      process.send(part.child.pid)
      await part.step({ at: 1, cut: 0 }, { packets: [], followed: [] }, false)`,
    )
    const leading = fork(leader, [], { execArgv: [] })
    const [pid] = (await once(leading, 'message')) as [number]
    expect(isRunning(pid)).toBe(true)
    leading.kill('SIGKILL')
    for (let i = 0; i < 60 && isRunning(pid); i++) await sleep(50)
    expect(isRunning(pid)).toBe(false)
  })
})
