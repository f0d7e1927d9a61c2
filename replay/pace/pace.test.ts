import { describe, expect, it } from 'vitest'
import type { Clock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { LiveLag } from './live-lag.ts'
import { allPacers, parseSpeed, speedPacer } from './speed.ts'

/** Time passes by sleeping alone; who sleeps longest gives way. */
function handClock() {
  let now = 0
  const sleepers: { at: number; wake: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    wall: () => now,
    turn: async () => undefined,
    sleep: (ms, signal) =>
      new Promise(resolve => {
        if (signal?.aborted) return resolve()
        const wake = (): void => {
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        sleepers.push({ at: now + ms, wake })
        signal?.addEventListener('abort', wake, { once: true })
      }),
  }
  const settle = () => new Promise(resolve => setImmediate(resolve))
  const pass = async (ms: number): Promise<void> => {
    const until = now + ms
    for (;;) {
      await settle()
      sleepers.sort((a, b) => a.at - b.at)
      if (sleepers.length === 0 || sleepers[0].at > until) break
      const next = sleepers.shift()
      now = Math.max(now, next?.at ?? now)
      next?.wake()
    }
    now = until
    await settle()
  }
  return { clock, pass }
}

const never = new AbortController().signal

describe('--speed', () => {
  it('takes max and a number of times', () => {
    expect(parseSpeed(undefined)).toBeUndefined()
    expect(parseSpeed('max')).toBeUndefined()
    expect(parseSpeed('60x')).toBe(60)
    expect(parseSpeed('.5x')).toBe(0.5)
    for (const wrong of ['60', '0x', '-1x', 'fast', 'x'])
      expect(() => parseSpeed(wrong)).toThrow(/--speed got/)
  })

  it("keeps the log's time to so many times the wall's, and does not hurry after a delay", async () => {
    const { clock, pass } = handClock()
    const pacer = speedPacer(10, clock)
    const done: number[] = []
    const run = (async () => {
      for (const at of [0, 10_000, 20_000]) {
        await pacer.ready(1_000_000 + at, never)
        done.push(clock.now())
      }
    })()
    await pass(1_500)
    expect(pacer.held()).toBe('speed 10x')
    expect(done).toEqual([0, 1000])
    await pass(1_000)
    await run
    expect(done).toEqual([0, 1000, 2000])
    await pass(60_000)
    await pacer.ready(1_021_000, never)
    expect(pacer.held()).toBeNull()
    const next = pacer.ready(1_031_000, never)
    expect(pacer.held()).toBe('speed 10x')
    await pass(1_000)
    await next
  })

  it('ends waiting when it is to pause', async () => {
    const { clock } = handClock()
    const pacer = allPacers([speedPacer(1, clock)])
    await pacer.ready(0, never)
    const stop = new AbortController()
    const waiting = pacer.ready(1e9, stop.signal)
    expect(pacer.held()).toBe('speed 1x')
    stop.abort()
    await waiting
  })
})

describe('the throttle', () => {
  const setting = (bound: number | undefined) => {
    const { clock, pass } = handClock()
    const live = { committed: 0, end: 0, members: ['one'], fails: false }
    const inputs = [{ topic: 'freshet.events', partition: 0 }]
    let seen = 0
    const pacer = new LiveLag({
      transport: {
        topics: { offsets: async () => [{ start: 0, end: live.end }] } as never,
        committed: async () => {
          if (live.fails) throw new Error('no coordinator')
          return [live.committed]
        },
        members: async () => live.members,
      },
      groupId: 'freshet',
      inputs,
      bound,
      clock,
      log: silentLogger,
      onLive: () => {
        seen++
      },
    })
    return { pacer, live, pass, seen: () => seen }
  }

  it('L1 holds above the bound until half of it', async () => {
    const { pacer, live, pass, seen } = setting(1000)
    live.end = 900
    await pass(1000)
    expect(pacer.held()).toBeNull()
    live.end = 1100
    await pass(1000)
    expect(pacer.held()).toBe('live lag 1,100 records (goes on below 500)')
    let isReady = false
    const waiting = pacer.ready(0, never).then(() => {
      isReady = true
    })
    live.committed = 500
    await pass(2000)
    expect(isReady).toBe(false)
    live.committed = 700
    await pass(2000)
    await waiting
    expect(pacer.held()).toBeNull()
    expect(seen()).toBe(1)
    await pacer.close()
  })

  it('L2 holds nothing where nobody works, L3 nor where it can not be asked', async () => {
    const { pacer, live, pass } = setting(10)
    live.end = 5000
    await pass(1000)
    expect(pacer.held()).not.toBeNull()
    live.members = []
    await pass(1000)
    expect(pacer.held()).toBeNull()
    live.members = ['one']
    await pass(1000)
    expect(pacer.held()).not.toBeNull()
    live.fails = true
    await pass(1000)
    expect(pacer.held()).toBeNull()
    await pacer.close()
  })

  it('takes two seconds of the live rate for its bound where none is given', async () => {
    const { pacer, live, pass } = setting(undefined)
    expect(pacer.bound).toBe(1000)
    for (let i = 0; i < 60; i++) {
      live.end += 5000
      live.committed = live.end - 4000
      await pass(1000)
    }
    expect(pacer.bound).toBeGreaterThan(9000)
    expect(pacer.bound).toBeLessThan(10_100)
    expect(pacer.held()).toBeNull()
    await pacer.close()
  })
})
