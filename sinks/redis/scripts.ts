/**
 * The Lua scripts behind versioned writes. Each touches one key and what stands beside it in the same slot, compares
 * versions as bytes and never decodes JSON (DESIGN 4: 21 us against 78). ARGV[1] is the version, ARGV[2] the life in ms,
 * 0 for none. They return 1 if written, 0 if what is stored is newer.
 *
 * KEYS[2] is the *version key*. Beside a sorted set or a plain string it holds that one's version; where nothing stands it
 * holds the version of the delete that took it away, for `goneLifeMs`. It is looked at only where the value itself has no
 * version to tell. A cluster refuses two keys, of which one may not be there, while it moves their slot (TRYAGAIN): then
 * `json` and `hash` are called without it, and only in that moment a delete that was forgotten on the way would not hold.
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

/**
 * How long a delete is remembered: what a worker that lost its task sends within it brings nothing back. Requests that hang
 * in a network end within minutes; a day covers a process that was frozen overnight.
 */
export const goneLifeMs = 86_400_000

/** What the mark's script returns; 1 where the mark was moved on. */
export const markReply = { lost: 2, stale: 3 } as const

const at = jsonHead.length

/** `keeps`: how a stored version must compare to ARGV[1] to stay. */
type Keeps = '>' | '>='

/** ARGV[3]: the whole value. */
const json = (keeps: Keeps): Script =>
  script(`
local v = redis.call('GETRANGE', KEYS[1], ${at}, ${at - 1} + #ARGV[1])
if v == '' and KEYS[2] then v = redis.call('GET', KEYS[2]) or '' end
if v ${keeps} ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('SET', KEYS[1], ARGV[3])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2]) end
return 1`)

/** ARGV[3...]: field, value, ... */
const hash = (keeps: Keeps): Script =>
  script(`
local v = redis.call('HGET', KEYS[1], 'version')
if v then
  if v ${keeps} ARGV[1] then return 0 end
  redis.call('DEL', KEYS[1])
elseif KEYS[2] then
  v = redis.call('GET', KEYS[2])
  if v and v ${keeps} ARGV[1] then return 0 end
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 3))
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)

/** ARGV[3...]: score, member, ... in steps that Lua's stack takes. */
const zset = (keeps: Keeps): Script =>
  script(`
local v = redis.call('GET', KEYS[2])
if v and v ${keeps} ARGV[1] then return 0 end
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

/** ARGV[3]: the whole value, which has no place for a version. */
const text = (keeps: Keeps): Script =>
  script(`
local v = redis.call('GET', KEYS[2])
if v and v ${keeps} ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[3])
  redis.call('SET', KEYS[2], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return 1`)

/** ARGV[2]: how long the delete is remembered. */
const remove = script(`
local kind = redis.call('TYPE', KEYS[1]).ok
local v
if kind == 'hash' then v = redis.call('HGET', KEYS[1], 'version')
elseif kind == 'string' and redis.call('GETRANGE', KEYS[1], 0, ${at - 1}) == '${jsonHead}' then
  v = redis.call('GETRANGE', KEYS[1], ${at}, ${at - 1} + #ARGV[1])
else v = redis.call('GET', KEYS[2]) end
if v and v > ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1`)

/** KEYS[2]: the version key of this member alone. ARGV[3], ARGV[4]: score, member. */
const zadd = script(`
local v = redis.call('GET', KEYS[2])
if v and v > ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[4])
return 1`)

/** KEYS[2]: the version key of this member alone. ARGV[3]: member. */
const zrem = script(`
local v = redis.call('GET', KEYS[2])
if v and v > ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[3])
return 1`)

/** KEYS[i + 1]: the version key of the member ARGV[i + 1]. */
const zclear = script(`
for i = 2, #ARGV do
  local v = redis.call('GET', KEYS[i])
  if not v or v <= ARGV[1] then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 1`)

/**
 * KEYS[1]: the mark, "version through". ARGV[2]: the new through. ARGV[3] and ARGV[4]: the version and the through that it
 * must have by now, '' where it may be absent.
 */
const mark = script(`
local m = redis.call('GET', KEYS[1])
if m and string.sub(m, 1, #ARGV[1]) > ARGV[1] then return ${markReply.stale} end
if ARGV[3] ~= '' and (not m or string.sub(m, 1, #ARGV[3]) < ARGV[3]) then return ${markReply.lost} end
if ARGV[4] ~= '' and (not m or string.sub(m, #ARGV[1] + 2) < ARGV[4]) then return ${markReply.lost} end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
return 1`)

/** `write` puts an equal version in again (a redelivery); `fill` leaves it as it stands. */
export const scripts = {
  write: { json: json('>'), hash: hash('>'), zset: zset('>'), text: text('>') },
  fill: { json: json('>='), hash: hash('>='), zset: zset('>='), text: text('>=') },
  remove,
  zadd,
  zrem,
  zclear,
  mark,
}

export const allScripts: readonly Script[] = [
  ...Object.values(scripts.write),
  ...Object.values(scripts.fill),
  remove,
  zadd,
  zrem,
  zclear,
  mark,
]
