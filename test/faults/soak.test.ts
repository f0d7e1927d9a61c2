/**
 * The soak: half an hour at a steady pace, Redis gone for a sixth of it. The worker's memory stays flat and everything is
 * equal in the end. It runs with the allocator's variables that `--workers` sets (bin/allocator.ts). FRESHET_SOAK_MINUTES
 * (30) and FRESHET_SOAK_RATE (1,000 events a second) make it shorter or harder; 0 minutes leave it out.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { allocatorVariables } from '../../bin/allocator.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'
import type { RedisService } from '../support/services.ts'

const MINUTES = Number(process.env.FRESHET_SOAK_MINUTES ?? 30)
const RATE = Number(process.env.FRESHET_SOAK_RATE ?? 1_000)
const MINUTE_MS = 60_000
/** Until the state has its size: the windows of 7 days are full by then, and what is kept for the grace behind them. */
const WARM_UP = 1 / 3
const KEPT_MS = 8 * 86_400_000
/** Of event time an event: long steps would leave no plays of several heartbeats. */
const STEP_MS = Math.min(4_000, Math.ceil(KEPT_MS / (WARM_UP * MINUTES * 60 * RATE)))
/** Windows of the time after the warm-up that are compared with each other. */
const WINDOWS = 8
const FLAT = 0.1

interface Sample {
  readonly atMs: number
  readonly rssMb: number
  readonly heapMb: number
  readonly committedMb: number
  readonly externalMb: number
  readonly lag: number
}

describe.runIf(MINUTES > 0)('a soak', () => {
  let deployment: FaultDeployment
  afterEach(() => deployment?.close())

  it(
    `of ${MINUTES} min, Redis gone for a sixth of it: is memory flat, and is all there in the end?`,
    async () => {
      deployment = await FaultDeployment.open({
        story: { seed: 30, stepMs: STEP_MS },
        variables: allocatorVariables,
      })
      const redis = deployment.redis as RedisService
      const run = await deployment.run()
      const telling = deployment.tell({ perSecond: RATE })
      const samples: Sample[] = []
      const begun = Date.now()
      const lasting = MINUTES * MINUTE_MS
      let goneAt = 0
      let backAt = 0
      while (Date.now() - begun < lasting) {
        const atMs = Date.now() - begun
        if (goneAt === 0 && atMs > lasting / 2) {
          await redis.kill9()
          goneAt = atMs
        } else if (goneAt > 0 && backAt === 0 && atMs > goneAt + lasting / 6) {
          deployment.versions.forget()
          await redis.restart()
          backAt = atMs
        }
        samples.push(sampleOf(await run.metrics(), atMs))
        await sleep(5_000)
      }
      await telling.stop()
      console.log(tableOf(samples, goneAt, backAt))
      await deployment.expectAllEqual()
      const from = lasting * WARM_UP
      const size = (lasting - from) / WINDOWS
      const windows = Array.from({ length: WINDOWS }, (_, w) =>
        medianOf(
          samples
            .filter(({ atMs }) => atMs >= from + w * size && atMs < from + (w + 1) * size)
            .map(({ rssMb }) => rssMb),
        ),
      )
      // before Redis went; while all waits V8 gives memory back, so less is no fault
      const before = medianOf(windows.slice(0, Math.floor((goneAt - from) / size)))
      const off = windows.filter(rssMb => rssMb > before * (1 + FLAT))
      expect(off, `medians of RSS by window, MB: ${windows.map(Math.round).join(' ')}`).toEqual([])
      expect(await run.stop(), run.output).toBe(0)
    },
    (MINUTES + 15) * MINUTE_MS,
  )
})

function sampleOf(metrics: string, atMs: number): Sample {
  const value = (name: string): number => {
    const lines = metrics.split('\n').filter(line => line.startsWith(name))
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  }
  return {
    atMs,
    rssMb: value('process_resident_memory_bytes') / 1e6,
    heapMb: value('nodejs_heap_size_used_bytes') / 1e6,
    committedMb: value('nodejs_heap_size_total_bytes') / 1e6,
    externalMb: value('nodejs_external_memory_bytes') / 1e6,
    lag: value('freshet_lag_records'),
  }
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

/** Medians by minute. */
function tableOf(samples: readonly Sample[], goneAt: number, backAt: number): string {
  const lines = [
    '| minute | RSS, MB | heap used, MB | heap committed, MB | outside the heap, MB | lag, records | |',
    '|--:|--:|--:|--:|--:|--:|---|',
  ]
  const minutes = Math.ceil((samples.at(-1)?.atMs ?? 0) / MINUTE_MS)
  for (let minute = 0; minute < minutes; minute++) {
    const own = samples.filter(({ atMs }) => Math.floor(atMs / MINUTE_MS) === minute)
    if (own.length === 0) continue
    const columns = (['rssMb', 'heapMb', 'committedMb', 'externalMb', 'lag'] as const).map(name =>
      Math.round(medianOf(own.map(sample => sample[name]))),
    )
    const gone = (minute + 0.5) * MINUTE_MS > goneAt && (minute + 0.5) * MINUTE_MS < backAt
    lines.push(`| ${minute + 1} | ${columns.join(' | ')} | ${gone ? 'Redis gone' : ''} |`)
  }
  return lines.join('\n')
}
