/**
 * Redis as view store (C5). What a caller may rely on:
 *  - R1 `write` resolves when Redis has acknowledged every write of the call; until then it is sent again, whole, without
 *       limit. Repeating is harmless: a version is compared in the same script that writes.
 *  - R2 A versioned value (json, hash, zset, a member of `blocked`) never goes back to an older version, whoever sends it and
 *       in whatever order. A delete takes away only what is not newer than itself, and its version stays beside the key for
 *       a day: nothing older that is still on its way from a worker that lost its task brings the value back.
 *  - R3 The value and its life are set by one script: there is no moment without a life.
 *  - R4 One key a write (and its version key in the same slot), so a cluster works.
 *  - R5 An outage is waited for; what repeating can't mend throws (faults.ts says which is which). One log line a change.
 *  - R6 Memory: a call holds its writes and one encoded slice per node (256 KB and a value) at a time.
 *  - R7 A task's mark stands on every node, behind all that was written there before it.
 */
import type { Redis } from 'ioredis'
import type { Clock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import type { Metrics } from '../../streams/metrics.ts'
import type { FillableViewStore, ViewMark, ViewReader } from '../../streams/sinks.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { type BatchReply, sendBatch } from './batch.ts'
import { type Connection, connect } from './connect.ts'
import { encodeAlone, encodeMark, encodeWrite, type Manner } from './encode.ts'
import { refusalOf } from './faults.ts'
import { createReader } from './read.ts'
import { allScripts, markReply } from './scripts.ts'
import { markKey } from './slot.ts'
import { parseRedisUrl } from './url.ts'

export interface RedisStoreOptions {
  readonly url: string
  /** What every key begins with; `freshet:` by default. */
  readonly prefix?: string
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: Metrics
}

/** For `doctor`. */
export interface RedisCondition {
  readonly address: string
  readonly cluster: boolean
  readonly version: string
  readonly roundTripMs: number
  readonly usedBytes: number
  /** 0: no limit. */
  readonly maxBytes: number
  /** Anything but noeviction or volatile-* may drop `blocked`. */
  readonly evictionPolicy: string
}

export interface RedisStore extends FillableViewStore, ViewReader {
  /** One try; errors: DEPENDENCY_UNREACHABLE after 5 s, DEPENDENCY_UNSUITABLE where Redis refuses. */
  ping(): Promise<RedisCondition>
}

const sliceCharacters = 256 * 1024
const sliceCommands = 2000
const maxDelayMs = 1000

/** Does not connect before the first call. Errors: OPTION_INVALID for the URL. */
export function createRedisStore(options: RedisStoreOptions): RedisStore {
  const { url, prefix = 'freshet:', log, clock, metrics } = options
  const address = parseRedisUrl(url)
  const server = address.name
  const connection = connect(address)
  const written = metrics.counter('freshet_view_writes_total', { store: 'redis' })
  const stale = metrics.counter('freshet_view_writes_stale_total', { store: 'redis' })
  const scripted = new WeakSet<Redis>()
  /** Marks that this process has set. */
  const marked = new Set<string>()
  let outage: { since: number; reason: string } | undefined
  let closed = false

  /** Tries until it is done; every try does all of it again. */
  async function insist<T>(deed: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (closed) throw closedError()
      try {
        await connection.ready()
        const result = await deed()
        leaveOutage()
        return result
      } catch (error) {
        if (closed) throw closedError()
        enterOutage(error)
        await clock.sleep(Math.min(100 * attempt, maxDelayMs))
      }
    }
  }

  async function write(
    writes: readonly ViewWrite[],
    version: string,
    mark?: ViewMark,
  ): Promise<void> {
    if (writes.length === 0 && mark === undefined) return
    const { refused, lost } = await insist(() => deliver(writes, version, 'write', mark))
    written.add(writes.length)
    if (refused > 0) stale.add(refused)
    if (lost) mark?.lost()
  }

  async function deliver(
    writes: readonly ViewWrite[],
    version: string,
    manner: Manner,
    mark?: ViewMark,
  ): Promise<{ readonly refused: number; readonly lost: boolean }> {
    const route = connection.router()
    const byNode = new Map<Redis, { writes: ViewWrite[]; behind: string[] }>()
    const partOf = (node: Redis) => {
      const known = byNode.get(node)
      if (known) return known
      const part = { writes: [], behind: [] }
      byNode.set(node, part)
      return part
    }
    for (const one of writes) partOf(route(prefix + one.key)).writes.push(one)
    const places = mark ? connection.markPlaces(prefix) : []
    if (mark) for (const { node, n } of places) partOf(node).behind.push(marking(mark, n, version))
    const outcomes = await Promise.allSettled(
      [...byNode].map(([node, part]) => deliverTo(node, part, version, manner)),
    )
    let refused = 0
    let lost = false
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason
      refused += outcome.value.refused
      if (outcome.value.lost) lost = true
    }
    if (mark) for (const { n } of places) marked.add(markKey(prefix, n, mark.task))
    return { refused, lost }
  }

  /** Where slots moved, a mark begins at another place: there it may be absent. A new owner looks at all of them. */
  function marking(mark: ViewMark, n: number, version: string): string {
    const key = markKey(prefix, n, mark.task)
    const begins = mark.fromThrough === '' && !marked.has(key)
    return encodeMark(key, version, begins ? { ...mark, fromVersion: '' } : mark)
  }

  /** Slice by slice, in order: a later write of the same key must not overtake an earlier one. */
  async function deliverTo(
    node: Redis,
    { writes, behind }: { readonly writes: readonly ViewWrite[]; readonly behind: string[] },
    version: string,
    manner: Manner,
  ): Promise<{ refused: number; lost: boolean }> {
    let refused = 0
    for (let from = 0; from < writes.length; ) {
      const commands: string[] = []
      let characters = 0
      let to = from
      while (to < writes.length && characters < sliceCharacters && to - from < sliceCommands) {
        const one = writes[to++]
        const command = encodeWrite(one, prefix + one.key, version, manner)
        characters += command.length
        commands.push(command)
      }
      if (to === writes.length) commands.push(...behind)
      const first = from
      const alone = (index: number): string | undefined => {
        const one = writes[first + index]
        return one && encodeAlone(one, prefix + one.key, version, manner)
      }
      const replies = await sendSlice(node, commands, alone)
      refused += replies.counts[0]
      if (to === writes.length) return { refused, lost: replies.counts[markReply.lost] > 0 }
      from = to
    }
    const replies = await sendSlice(node, behind)
    return { refused, lost: replies.counts[markReply.lost] > 0 }
  }

  async function sendSlice(
    node: Redis,
    commands: readonly string[],
    alone: (index: number) => string | undefined = () => undefined,
    retried = false,
  ): Promise<BatchReply> {
    if (node.status !== 'ready') await node.ping()
    if (!scripted.has(node)) await loadScripts(node)
    const reply = await sendBatch(node, commands.join(''), commands.length)
    const { errors } = reply
    if (errors.some(({ error }) => error.message.startsWith('NOSCRIPT')) && !retried) {
      scripted.delete(node)
      return sendSlice(node, commands, alone, true)
    }
    for (const { index, error } of errors) {
      const isMoving = /^(ASK|TRYAGAIN) /.test(error.message)
      const single = isMoving ? alone(index) : undefined
      if (single !== undefined && error.message.startsWith('TRYAGAIN'))
        await sendSlice(node, [single])
      else await redirect(single ?? commands[index], error)
    }
    return reply
  }

  async function loadScripts(node: Redis): Promise<void> {
    for (const { lua } of allScripts) await node.script('LOAD', lua)
    scripted.add(node)
  }

  /** Follows MOVED and ASK of a cluster that is being reshaped; throws what is no redirect. */
  async function redirect(command: string, error: Error): Promise<void> {
    const [kind, , name] = error.message.split(' ')
    if (!address.cluster || (kind !== 'MOVED' && kind !== 'ASK')) throw error
    if (kind === 'MOVED') connection.refresh()
    const node = connection.nodeAt(name)
    if (!node) throw error
    if (node.status !== 'ready') await node.ping()
    if (!scripted.has(node)) await loadScripts(node)
    const asking = kind === 'ASK' ? '*1\r\n$6\r\nASKING\r\n' : ''
    const { errors } = await sendBatch(node, asking + command, asking ? 2 : 1)
    if (errors.length === 0) return
    scripted.delete(node)
    throw errors[0].error
  }

  function enterOutage(error: unknown): void {
    const cause = causeOf(error, connection)
    if (!isRedirect(cause) || !address.cluster) {
      const refusal = refusalOf(cause, server)
      if (refusal) throw refusal
    }
    const reason = messageOf(cause)
    // its master is another now, perhaps behind the same name
    if (reason.startsWith('READONLY')) connection.reconnect()
    if (outage) {
      outage.reason = reason
      return
    }
    outage = { since: clock.now(), reason }
    log.warn({ redis: server, reason }, `waiting for Redis ${server}: ${reason}`)
  }

  function leaveOutage(): void {
    if (!outage) return
    const seconds = (clock.now() - outage.since) / 1000
    outage = undefined
    log.info({ redis: server, seconds }, `Redis ${server} is back after ${seconds.toFixed(1)} s`)
  }

  async function ping(): Promise<RedisCondition> {
    let late: NodeJS.Timeout | undefined
    const tooLate = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error('no answer within 5 s')), 5000)
    })
    try {
      return await Promise.race([condition(), tooLate])
    } catch (error) {
      const cause = causeOf(error, connection)
      throw (
        refusalOf(cause, server) ??
        new FreshetError(
          'DEPENDENCY_UNREACHABLE',
          `Redis ${server} can't be reached: ${messageOf(cause)}; start it, or set FRESHET_REDIS_URL`,
          cause,
        )
      )
    } finally {
      clearTimeout(late)
    }
  }

  async function condition(): Promise<RedisCondition> {
    await connection.ready()
    const [node] = connection.nodes()
    const start = performance.now()
    await node.ping()
    const roundTripMs = performance.now() - start
    const text = `${await node.info('server')}\n${await node.info('memory')}`
    const field = (name: string): string =>
      new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(text)?.[1] ?? ''
    return {
      address: server,
      cluster: address.cluster,
      version: field('redis_version'),
      roundTripMs,
      usedBytes: Number(field('used_memory')),
      maxBytes: Number(field('maxmemory')),
      evictionPolicy: field('maxmemory_policy'),
    }
  }

  return {
    name: `Redis ${server}`,
    write,
    async fill(writes, version) {
      const { refused } = await insist(() => deliver(writes, version, 'fill'))
      written.add(writes.length - refused)
      return refused
    },
    async unmark(task) {
      await insist(async () => {
        for (const { node, n } of connection.markPlaces(prefix))
          await node.del(markKey(prefix, n, task))
      })
    },
    waiting: () =>
      outage && `Redis ${server} since ${new Date(outage.since).toISOString()} (${outage.reason})`,
    ping,
    async close() {
      closed = true
      connection.close()
    },
    ...createReader(connection, prefix),
  }

  function closedError(): FreshetError {
    return new FreshetError(
      'CLOSED',
      `the connection to Redis ${server} was closed by this process`,
    )
  }
}

const isRedirect = (error: unknown): boolean => /^(MOVED|ASK) /.test(messageOf(error))

/** ioredis rejects what was queued with a sentence about itself; the connection's own last error says more. */
function causeOf(error: unknown, connection: Connection): unknown {
  const own = /max retries|Connection is closed|slots cache|offline queue|writeable/i
  return own.test(messageOf(error))
    ? (connection.lastError() ?? new Error('the connection was lost'))
    : error
}
