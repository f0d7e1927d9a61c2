/** `/healthz`, `/readyz` and `/metrics` of `freshet run`. */
import Fastify from 'fastify'
import { FreshetError, messageOf } from '../streams/errors.ts'
import type { Worker } from '../streams/runtime/worker.ts'
import type { Webhook } from './alerts-webhook.ts'
import type { PrometheusMetrics } from './metrics.ts'

export interface HealthServer {
  readonly port: number
  close(): Promise<void>
}

/** What is told of a worker. */
export type WatchedWorker = Pick<Worker, 'ready' | 'waiting' | 'status' | 'dependencies' | 'lag'>

/** Port 0: any free one. Errors: OPTION_INVALID where the port is taken. */
export async function serveHealth(
  port: number,
  worker: WatchedWorker,
  metrics: PrometheusMetrics,
  webhook: Webhook | null = null,
): Promise<HealthServer> {
  const server = Fastify({ logger: false })
  // a webhook that is away holds up nothing: it is told and makes nobody unready
  const state = () => ({
    waitingFor: worker.waiting(),
    tasks: worker.status(),
    ...(webhook ? { webhook: webhook.state() } : {}),
  })
  server.get('/healthz', async () => ({ status: 'ok', ...state() }))
  server.get('/readyz', async (_request, reply) => {
    const ready = worker.ready && worker.waiting().length === 0
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', ...state() })
  })
  server.get('/metrics', async (_request, reply) => {
    for (const { name, waitingFor } of worker.dependencies())
      metrics.gauge('freshet_waiting', { dependency: name }).set(waitingFor === undefined ? 0 : 1)
    for (const { topic, partition, records } of worker.lag())
      metrics.gauge('freshet_lag_records', { topic, partition: String(partition) }).set(records)
    return reply
      .header('content-type', metrics.registry.contentType)
      .send(await metrics.registry.metrics())
  })
  try {
    await server.listen({ port, host: '0.0.0.0' })
  } catch (error) {
    throw new FreshetError(
      'OPTION_INVALID',
      `option http.port got ${port}, which can't be listened on (${messageOf(error)}); take another, or 0 for any`,
      error,
    )
  }
  const address = server.server.address()
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: () => server.close(),
  }
}
