/** What the URL of a Redis says: `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `redis+cluster://h1:p1,h2:p2`. */
import { FreshetError } from '../../streams/errors.ts'

export interface RedisAddress {
  readonly cluster: boolean
  readonly tls: boolean
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly username?: string
  readonly password?: string
  readonly db: number
  /** For messages: hosts and ports, never the password. */
  readonly name: string
}

const pattern = /^(rediss?)(\+cluster)?:\/\/(?:([^@/]*)@)?([^@/]+)(?:\/(\d*))?$/

/** Errors: OPTION_INVALID, with the forms it takes. */
export function parseRedisUrl(url: string): RedisAddress {
  const match = pattern.exec(url)
  if (!match) throw invalid(url)
  const [, scheme, cluster, credentials, hosts, db] = match
  const nodes = hosts.split(',').map(host => {
    const parts = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+)(?::(\d+))?$/.exec(host)
    if (!parts) throw invalid(url)
    return { host: parts[1].replace(/^\[|\]$/g, ''), port: Number(parts[2] ?? 6379) }
  })
  if (nodes.length > 1 && !cluster) throw invalid(url)
  const colon = credentials?.indexOf(':') ?? -1
  return {
    cluster: cluster !== undefined,
    tls: scheme === 'rediss',
    nodes,
    username: colon > 0 ? decodeURIComponent(credentials.slice(0, colon)) : undefined,
    password:
      credentials === undefined ? undefined : decodeURIComponent(credentials.slice(colon + 1)),
    db: Number(db || 0),
    name: nodes.map(node => `${node.host}:${node.port}`).join(','),
  }
}

function invalid(url: string): FreshetError {
  return new FreshetError(
    'OPTION_INVALID',
    `the Redis URL got "${url.replace(/\/\/[^@]*@/, '//***@')}"; it takes redis://[USER:PASSWORD@]HOST[:PORT][/DB], ` +
      'rediss://... for TLS, redis+cluster://HOST:PORT[,HOST:PORT...] for a cluster',
  )
}
