import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../streams/clock.ts'
import type { Logger } from '../streams/log.ts'
import { type PostedAlert, Webhook } from './alerts-webhook.ts'
import { PrometheusMetrics } from './metrics.ts'

const servers: Server[] = []
const hooks: Webhook[] = []
afterEach(async () => {
  for (const hook of hooks.splice(0)) await hook.close(0)
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

interface Took {
  readonly body: PostedAlert
  readonly headers: IncomingMessage['headers']
}

/** Answers each request by `answer`: a status; 0 breaks the connection off; -1 never answers. */
async function receiver(answer: (request: number) => number, port = 0) {
  const took: Took[] = []
  let requests = 0
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const status = answer(requests++)
    if (status === 0) request.socket.destroy()
    if (status <= 0) return
    if (status < 300)
      took.push({ body: JSON.parse(String(Buffer.concat(parts))), headers: request.headers })
    response.writeHead(status).end()
  })
  servers.push(server)
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const at = (server.address() as AddressInfo).port
  return { took, url: `http://127.0.0.1:${at}/hook`, port: at, requests: () => requests }
}

function webhook(url: string, given: { most?: number; timeoutMs?: number } = {}) {
  const lines: string[] = []
  const line = (_fields: unknown, message: string) => void lines.push(message)
  const log: Logger = { info: line, warn: line, error: line }
  const metrics = new PrometheusMetrics()
  const hook = new Webhook({
    url,
    headers: { Authorization: 'Bearer x' },
    clock: systemClock,
    log,
    metrics,
    firstWaitMs: 5,
    longestWaitMs: 40,
    ...given,
  })
  hooks.push(hook)
  return { hook, lines, metrics }
}

const alert = (k: number): PostedAlert => ({
  eventId: `drift_1m/a/${k}/open`,
  state: 'raised',
  rule: 'drift_1m',
  subject: 'a',
  since: k,
  until: null,
  value: 2,
  threshold: 1,
  ratio: 2,
  message: 'a: psi 2 is above 1',
  query: 'SELECT 1',
})

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (holds()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error('did not come true within 4 s')
}

describe('the alert webhook', () => {
  it('posts every alert in order once the receiver works, however it failed before (W1)', async () => {
    const answers = [500, 0, 503, 429, 404, 200, 500]
    const { took, url, requests } = await receiver(k => answers[k] ?? 200)
    const { hook, lines, metrics } = webhook(url)
    hook.offer([alert(1), alert(2)])
    hook.offer([alert(3)])
    expect(hook.state().waiting).toBe(3)
    await until(() => took.length === 3)
    expect(took.map(({ body }) => body)).toEqual([alert(1), alert(2), alert(3)])
    expect(took[0].headers).toMatchObject({
      authorization: 'Bearer x',
      'content-type': 'application/json',
    })
    await until(() => hook.state().waiting === 0)
    expect(hook.state()).toEqual({ waiting: 0, lost: 0, failing: null })
    expect(requests()).toBe(9)
    // one line when it goes and one when it is back, not one a try
    expect(lines).toHaveLength(4)
    const text = await metrics.registry.metrics()
    expect(text).toContain('freshet_webhook_alerts_total{result="posted"} 3')
    expect(text).toContain('freshet_webhook_waiting 0')
  })

  it('waits for a receiver that is not there, and says why', async () => {
    const gone = await receiver(() => 200)
    await new Promise(resolve => servers.pop()?.close(resolve))
    const { hook } = webhook(gone.url)
    hook.offer([alert(1)])
    await until(() => hook.state().failing !== null)
    expect(hook.state()).toMatchObject({
      waiting: 1,
      failing: expect.stringContaining('ECONNREFUSED'),
    })
    const { took } = await receiver(() => 200, gone.port)
    await until(() => took.length === 1)
  })

  it('a receiver that never answers is given up and tried again', async () => {
    const { took, url } = await receiver(k => (k === 0 ? -1 : 200))
    const { hook } = webhook(url, { timeoutMs: 50 })
    hook.offer([alert(1)])
    await until(() => took.length === 1)
  })

  it('what the receiver calls wrong is told and not posted for ever', async () => {
    const { took, url } = await receiver(k => (k === 0 ? 422 : 200))
    const { hook, lines } = webhook(url)
    hook.offer([alert(1), alert(2)])
    await until(() => took.length === 1)
    expect(took[0].body).toEqual(alert(2))
    expect(lines.join()).toContain('refuses an alert with 422')
  })

  it('holds so many at most; the oldest go, and it is told (W3)', async () => {
    let works = false
    const { took, url } = await receiver(() => (works ? 200 : 500))
    const { hook, lines } = webhook(url, { most: 3 })
    hook.offer([1, 2, 3, 4, 5].map(alert))
    expect(hook.state()).toMatchObject({ waiting: 3, lost: 2 })
    works = true
    await until(() => took.length === 3)
    expect(took.map(({ body }) => body.since)).toEqual([3, 4, 5])
    expect(lines.join()).toContain('older ones make room')
  })

  it('posts what waits when it is closed, but does not wait for a receiver that is away', async () => {
    const good = await receiver(() => 200)
    const first = webhook(good.url)
    first.hook.offer([alert(1), alert(2)])
    await first.hook.close()
    expect(good.took).toHaveLength(2)
    const bad = await receiver(() => 500)
    const second = webhook(bad.url)
    second.hook.offer([alert(1)])
    await until(() => second.hook.state().failing !== null)
    const at = performance.now()
    await second.hook.close()
    expect(performance.now() - at).toBeLessThan(1_000)
    expect(second.hook.state()).toMatchObject({ waiting: 0, lost: 1 })
  })
})
