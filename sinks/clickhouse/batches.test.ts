import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { TableBatches } from './batches.ts'
import { Outage } from './outage.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const limits = { flushMs: 1_000, maxRows: 50, maxChars: 1e9 }

/** A store that takes `tookMs` for a block, and when which rows came. */
function storeOf(tookMs: () => number) {
  const blocks: { at: number; rows: string[] }[] = []
  const outage = new Outage('test', systemClock, silentLogger, { set: () => undefined })
  const store = async (_table: string, lines: Buffer): Promise<void> => {
    blocks.push({ at: Date.now(), rows: String(lines).split('\n') })
    await new Promise(resolve => setTimeout(resolve, tookMs()))
  }
  return { blocks, batches: new TableBatches('t', limits, store, outage, systemClock) }
}

describe('blocks', () => {
  it('below the floor go out by the timer alone, however quick the server is (B4), whole and in order (B1, B2)', async () => {
    const steps = fc.array(
      fc.record({
        rows: fc.integer({ min: 1, max: 30 }),
        waitMs: fc.integer({ min: 0, max: 400 }),
      }),
      { minLength: 1, maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 0, max: 3_000 }), async (list, tookMs) => {
        const { blocks, batches } = storeOf(() => tookMs)
        const came = new Map<string, number>()
        const stored: Promise<void>[] = []
        let next = 0
        for (const { rows, waitMs } of list) {
          const lines = Array.from({ length: rows }, () => `${next++}`)
          for (const line of lines) came.set(line, Date.now())
          stored.push(batches.add(lines))
          await vi.advanceTimersByTimeAsync(waitMs)
        }
        await vi.advanceTimersByTimeAsync(60_000)
        await Promise.all(stored)
        expect(blocks.flatMap(({ rows }) => rows)).toEqual([...came.keys()])
        for (const { at, rows } of blocks)
          if (rows.length < limits.maxRows)
            expect(at - Number(came.get(rows[0]))).toBeGreaterThanOrEqual(limits.flushMs)
      }),
      { numRuns: 60 },
    )
  })

  it('that wait are stored at once at the end', async () => {
    const { blocks, batches } = storeOf(() => 10)
    const stored = [batches.add(['a']), batches.add(['b'])]
    const closed = batches.close()
    await vi.advanceTimersByTimeAsync(50)
    await Promise.all([...stored, closed])
    expect(blocks.map(({ rows }) => rows)).toEqual([['a', 'b']])
    await expect(batches.add(['c'])).rejects.toThrow('after close')
  })
})
