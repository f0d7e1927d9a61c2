/**
 * `freshet run` for the bench of what the commit protocol costs: `fencing-worker.ts fenced|unfenced --OPTION VALUE ...`.
 * *unfenced*: batches carry no producer id, so that no broker checks or remembers anything, and nothing waits: effects leave
 * at once, and so does the next commit. What it writes can't be trusted; it exists to be measured beside the real one.
 */
import { parseArgs } from 'node:util'
import { allOptions } from '../../bin/all-options.ts'
import { serveHealth } from '../../bin/http.ts'
import { createLogger } from '../../bin/logger.ts'
import { PrometheusMetrics } from '../../bin/metrics.ts'
import { startWorker } from '../../bin/worker.ts'
import { resolveOptions } from '../../streams/options.ts'
import type { FencedWriter, Transport } from '../../streams/transport/port.ts'
import type { UnstampedBatch } from '../../streams/transport/record-batch.ts'

const [mode, ...rest] = process.argv.slice(2)
const options = Object.fromEntries(
  Object.keys(allOptions).map(name => [name, { type: 'string' } as const]),
)
const { values: flags } = parseArgs({ args: rest, options })
const { values } = resolveOptions(allOptions, {
  flags: flags as Record<string, string>,
  environment: process.env as Record<string, string>,
  file: {},
})

const plain = (batch: UnstampedBatch): UnstampedBatch => ({
  count: batch.count,
  sizeBytes: batch.sizeBytes,
  stamp: () => batch.stamp(-1n, -1, -1),
})

function unfenced(transport: Transport): Transport {
  const writer = (identity: Parameters<Transport['writer']>[0]): FencedWriter => {
    const inner = transport.writer(identity)
    let claimed = false
    return {
      producerId: inner.producerId,
      epoch: inner.epoch,
      append: async (at, batch) => {
        const written = inner.append(at, claimed ? plain(batch) : batch)
        if (!claimed) {
          claimed = true
          return written
        }
        written.catch(fail)
        return { baseOffset: -1 }
      },
      appendAll: async parts => {
        inner.appendAll(parts.map(({ at, batch }) => ({ at, batch: plain(batch) }))).catch(fail)
      },
    }
  }
  return Object.assign(Object.create(transport) as Transport, { writer })
}

function fail(error: unknown): void {
  console.error(error)
  process.exit(1)
}

const log = createLogger(values['log.level'])
const metrics = new PrometheusMetrics().withProcess()
const running = await startWorker(
  { values, log, metrics },
  mode === 'unfenced' ? { transport: unfenced } : {},
)
const health = await serveHealth(values['http.port'], running.worker, metrics)
log.info({ port: health.port }, `running ${mode}`)
process.on('SIGTERM', () => void running.worker.stop())
await running.worker.done()
await running.close()
await health.close()
process.exit(0)
