/** A part in another process, when that one ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { RemotePart } from './remote-part.ts'

const dir = mkdtempSync(join(tmpdir(), 'freshet-remote-part-'))
afterAll(() => rmSync(dir, { recursive: true }))

function program(name: string, text: string): string {
  const file = join(dir, `${name}.mjs`)
  writeFileSync(file, text)
  return file
}

describe('a part in a process of its own', () => {
  it('is told to be gone when it ended, also by a call that comes before that is known', async () => {
    const file = program('deaf', 'process.disconnect(); setTimeout(() => {}, 60_000)')
    const part = new RemotePart(file, [], {})
    // its end of the pipe is closed: calls go nowhere
    for (let i = 0; i < 40; i++) {
      const failed = part.checkpoint().catch(error => error)
      const first = await Promise.race([failed, sleep(50)])
      if (first === undefined) continue
      expect(first).toMatchObject({ code: 'STALLED' })
      break
    }
    await expect(part.checkpoint()).rejects.toMatchObject({ code: 'STALLED' })
    await part.close()
  })
})
