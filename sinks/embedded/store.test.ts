import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../streams/clock.ts'
import { createEmbeddedStore } from './store.ts'

const version = '000001-0000000000000001-0000000001'

function handClock(): Clock & { at: number } {
  const clock = {
    ...systemClock,
    at: 1_790_000_000_000,
    now: () => clock.at,
    sleep: async () => undefined,
  }
  return clock
}

describe('embedded view store', () => {
  it('ends a life by the clock it was given, to the millisecond', async () => {
    const clock = handClock()
    const store = createEmbeddedStore({ clock })
    await store.write([{ op: 'json', key: 'a', body: '"x":1}', ttlMs: 1000 }], version)
    clock.at += 999
    expect(await store.json('a')).not.toBeNull()
    clock.at += 1
    expect(await store.json('a')).toBeNull()
  })

  for (const where of ['memory', 'folder'])
    it(`sweeps rows that have lived out their lives (${where})`, async () => {
      const dir = where === 'folder' ? mkdtempSync(join(tmpdir(), 'freshet-views-')) : undefined
      const clock = handClock()
      const store = createEmbeddedStore({ dir, clock })
      const many = Array.from({ length: 500 }, (_, i) => ({
        op: 'string' as const,
        key: `k${i}`,
        value: 'x',
        ttlMs: i % 2 === 0 ? 10 : 1_000_000,
      }))
      await store.write(many, version)
      clock.at += 10
      const touch = { op: 'string' as const, key: 'touch', value: 'x', ttlMs: 0 }
      for (let n = 0; n < 20; n++) await store.write([touch], version)
      clock.at -= 10 // what was only hidden would be seen again
      let left = 0
      for await (const _ of store.scan('k')) left++
      expect(left).toBe(250)
      await store.close()
      if (dir) rmSync(dir, { recursive: true })
    })

  it('can be read by another process while this one has it open', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'freshet-views-'))
    const store = createEmbeddedStore({
      dir,
      clock: systemClock,
    })
    await store.write(
      [{ op: 'json', key: 'topk:home:u:u1', body: '"user":"u1"}', ttlMs: 60_000 }],
      version,
    )
    const script = `
      import { createEmbeddedStore } from './sinks/embedded/store.ts'
      const store = createEmbeddedStore({ dir: process.argv[1], readOnly: true, clock: { now: () => Date.now() } })
      console.log(JSON.stringify(await store.json('topk:home:u:u1')))
      await store.close()`
    const seen = execFileSync('npx', ['tsx', '--input-type=module', '-e', script, dir], {
      encoding: 'utf8',
    })
    expect(JSON.parse(seen.trim().split('\n').pop() ?? '')).toEqual({ version, user: 'u1' })
    await store.close()
    rmSync(dir, { recursive: true })
  })

  it('says where it looked when there is nothing to read, and makes nothing', () => {
    const home = mkdtempSync(join(tmpdir(), 'freshet-'))
    const dir = join(home, 'none', 'views')
    expect(() => createEmbeddedStore({ dir, readOnly: true, clock: handClock() })).toThrowError(
      expect.objectContaining({
        code: 'CALL_INVALID',
        message: expect.stringContaining(`no embedded views in ${dir}`),
      }),
    )
    expect(readdirSync(home)).toEqual([])
    rmSync(home, { recursive: true })
  })
})
