/**
 * What an error of Redis means for a writer that must not lose anything.
 *  - *wait*: it may end by itself or by an operator's hand: no connection, loading, failover (READONLY, MASTERDOWN,
 *    CLUSTERDOWN, TRYAGAIN), memory full (OOM), disk full (MISCONF), too few replicas, a long script (BUSY). The write is
 *    repeated without limit and `waiting()` says why.
 *  - *refused*: repeating can't help: wrong password or rights, a key of another type under our prefix, a server that
 *    doesn't know scripts. The worker stops with a sentence.
 */
import { FreshetError, messageOf } from '../../streams/errors.ts'

const refusals: readonly (readonly [RegExp, string])[] = [
  [
    /^(NOAUTH|WRONGPASS)|invalid (username-)?password|called without any password/i,
    'set user and password in the URL: redis://USER:PASSWORD@HOST:PORT',
  ],
  [
    /^NOPERM/,
    'allow the user EVALSHA, SCRIPT LOAD, GET, SET, DEL, TYPE, GETRANGE, HGET, HSET, PEXPIRE, ZADD, ZREM and the keys "PREFIX*" and "{PREFIX*"',
  ],
  [
    /WRONGTYPE/,
    'another program wrote a key under our prefix: remove it or choose another --redis.prefix',
  ],
  [/^(ERR )?unknown command/i, 'freshet needs Redis 5 or newer with Lua scripts'],
  [
    /CROSSSLOT|cluster support|MOVED/,
    'this is a Redis Cluster: give its URL as redis+cluster://HOST:PORT',
  ],
  [/^ERR (DB index|SELECT)/i, 'choose a database number that exists, or none'],
]

/** The error to stop with, or undefined where waiting is right. */
export function refusalOf(error: unknown, server: string): FreshetError | undefined {
  const text = messageOf(error)
  const known = refusals.find(([pattern]) => pattern.test(text))
  if (!known) return undefined
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    `Redis ${server} refused: ${text}; ${known[1]}`,
    error,
  )
}
