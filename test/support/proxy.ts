/**
 * A TCP proxy for tests of what networks do: it passes bytes on, or holds them back, or is not there. What is held back in
 * one mode is passed on in the next that passes, as a network does that was only slow.
 */
import net from 'node:net'

export type ProxyMode =
  /** Bytes go both ways. */
  | 'pass'
  /** Requests get through, answers do not: the peer does what it is asked and nobody hears of it. */
  | 'swallow'
  /** Connections are accepted and nothing goes either way: a stopped process, a half-open connection. */
  | 'hold'
  /** Nobody listens, and who was connected is cut off. */
  | 'refuse'

export interface TcpProxy {
  readonly port: number
  readonly address: string
  /** For new and for open connections. */
  set(mode: ProxyMode): Promise<void>
  /** Only for connections that are open now, and of these for such whose last request is one: new ones pass. */
  freezeOpen(mode: 'swallow' | 'hold', isOne?: (lastRequest: Buffer) => boolean): void
  /** Where new connections go from now on. */
  target(port: number): void
  /** Connections made so far. */
  connections(): number
  close(): Promise<void>
}

interface Pair {
  readonly client: net.Socket
  readonly server: net.Socket
  mode: ProxyMode
  lastRequest: Buffer
}

/** Listens on 127.0.0.1, at `port` (0: any free one), before 127.0.0.1:`targetPort`. */
export async function startProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const pairs = new Set<Pair>()
  let mode: ProxyMode = 'pass'
  let target = targetPort
  let count = 0
  const server = net.createServer({ pauseOnConnect: true }, client => {
    count++
    const upstream = net.connect(target, '127.0.0.1')
    const pair: Pair = { client, server: upstream, mode, lastRequest: Buffer.alloc(8) }
    pairs.add(pair)
    const end = (): void => {
      pairs.delete(pair)
      client.destroy()
      pair.server.destroy()
    }
    for (const socket of [client, pair.server]) {
      socket.setNoDelay(true)
      socket.on('error', end).on('close', end)
    }
    client.on('data', bytes => {
      pair.lastRequest = bytes
      pair.server.write(bytes)
    })
    pair.server.on('data', bytes => client.write(bytes))
    apply(pair)
  })

  function apply({ client, server: peer, mode: own }: Pair): void {
    if (own === 'hold') client.pause()
    else client.resume()
    if (own === 'pass') peer.resume()
    else peer.pause()
  }

  const listen = (at: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject).listen(at, '127.0.0.1', () => resolve())
    })
  const cut = (): Promise<unknown> => {
    for (const pair of pairs) pair.client.destroy()
    return server.listening ? new Promise(resolve => server.close(resolve)) : Promise.resolve()
  }

  await listen(port)
  const bound = (server.address() as net.AddressInfo).port
  return {
    port: bound,
    address: `127.0.0.1:${bound}`,
    async set(wanted) {
      mode = wanted
      if (wanted === 'refuse') await cut()
      else if (!server.listening) await listen(bound)
      for (const pair of pairs) {
        pair.mode = wanted
        apply(pair)
      }
    },
    freezeOpen(wanted, isOne = () => true) {
      for (const pair of pairs) {
        if (!isOne(pair.lastRequest)) continue
        pair.mode = wanted
        apply(pair)
      }
    },
    target(to) {
      target = to
    },
    connections: () => count,
    close: async () => void (await cut()),
  }
}
