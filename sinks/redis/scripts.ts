/**
 * The Lua scripts behind versioned writes. Each touches one key (a sorted set: also the version key in its slot), compares
 * versions as bytes and never decodes JSON (DESIGN 4: 21 us against 78). ARGV[1] is the version, ARGV[2] the life in ms,
 * 0 for none. They return 1 if written, 0 if what is stored is newer. Equal versions are written again: a redelivery.
 */
import { createHash } from 'node:crypto'

export interface Script {
  readonly lua: string
  readonly sha1: string
}

function script(lua: string): Script {
  return { lua, sha1: createHash('sha1').update(lua).digest('hex') }
}

/** What every JSON view begins with; the version's bytes follow. */
export const jsonHead = '{"version":"'

const at = jsonHead.length

/** ARGV[3]: the whole value. */
const json = script(`
if redis.call('GETRANGE', KEYS[1], ${at}, ${at - 1} + #ARGV[1]) > ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('SET', KEYS[1], ARGV[3])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2]) end
return 1`)

/** ARGV[3...]: field, value, ... */
const hash = script(`
local v = redis.call('HGET', KEYS[1], 'version')
if v and v > ARGV[1] then return 0 end
if v then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 3))
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)

/** KEYS[2]: the version key. ARGV[3...]: score, member, ... in steps that Lua's stack takes. */
const zset = script(`
local v = redis.call('GET', KEYS[2])
if v and v > ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 3, #ARGV, 2000 do
  redis.call('ZADD', KEYS[1], unpack(ARGV, i, math.min(i + 1999, #ARGV)))
end
if ARGV[2] == '0' then redis.call('SET', KEYS[2], ARGV[1])
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`)

/** KEYS[2]: the version key, in case the first is a sorted set. */
const remove = script(`
local kind = redis.call('TYPE', KEYS[1]).ok
local v
if kind == 'hash' then v = redis.call('HGET', KEYS[1], 'version')
elseif kind == 'zset' then v = redis.call('GET', KEYS[2])
elseif kind == 'string' and redis.call('GETRANGE', KEYS[1], 0, ${at - 1}) == '${jsonHead}' then
  v = redis.call('GETRANGE', KEYS[1], ${at}, ${at - 1} + #ARGV[1])
end
if v and v > ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
return 1`)

export const scripts = { json, hash, zset, remove }
