/**
 * HOT. Encodes view writes as Redis commands (RESP) into one text a batch. Through ioredis' own pipeline a session hash of
 * ten fields costs one Command object with its promise, closures and string each, three times as much; `bench.ts` beside
 * this file measures both. Strings are appended, not written to a buffer piece by piece: V8 flattens the text once, when
 * the socket makes it bytes.
 */
import type { ViewMark } from '../../streams/sinks.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { goneLifeMs, jsonHead, scripts } from './scripts.ts'
import { versionKeyOf } from './slot.ts'

/** How a stored value of the same version is met: written again, or left as it stands. */
export type Manner = 'write' | 'fill'

const bytesOf = Buffer.byteLength

function bulk(text: string): string {
  return `$${bytesOf(text)}\r\n${text}\r\n`
}

/** A key and its version key, which without braces in the key is 10 bytes longer (`versionKeyOf`). */
function both(key: string): string {
  if (key.includes('}')) return bulk(key) + bulk(versionKeyOf(key))
  const bytes = bytesOf(key)
  return `$${bytes}\r\n${key}\r\n$${bytes + 10}\r\n{${key}}:version\r\n`
}

/** What stands between the number of parts and the keys. */
const call = (sha1: string, keys: number): string => bulk('EVALSHA') + bulk(sha1) + bulk(`${keys}`)
const calls = (['write', 'fill'] as const).map(manner => ({
  json: `*8\r\n${call(scripts[manner].json.sha1, 2)}`,
  hash: call(scripts[manner].hash.sha1, 2),
  zset: call(scripts[manner].zset.sha1, 2),
  text: `*8\r\n${call(scripts[manner].text.sha1, 2)}`,
}))
const callsOf = { write: calls[0], fill: calls[1] }
const removeCall = `*7\r\n${call(scripts.remove.sha1, 2)}`
const zaddCall = `*9\r\n${call(scripts.zadd.sha1, 2)}`
const zremCall = `*8\r\n${call(scripts.zrem.sha1, 2)}`
const markCall = `*8\r\n${call(scripts.mark.sha1, 1)}`

/** Field names repeat in every hash: encoded once. */
const encodedNames = new Map<string, string>()

function name(field: string): string {
  let encoded = encodedNames.get(field)
  if (encoded === undefined) {
    if (encodedNames.size > 1000) encodedNames.clear()
    encoded = bulk(field)
    encodedNames.set(field, encoded)
  }
  return encoded
}

let lastVersion = ''
let lastLifeMs = -1
let lastHead = ''

/** Version and life, which hardly change from one write of a batch to the next. */
function head(version: string, lifeMs: number): string {
  if (version !== lastVersion || lifeMs !== lastLifeMs) {
    lastVersion = version
    lastLifeMs = lifeMs
    lastHead = bulk(version) + bulk(`${lifeMs}`)
  }
  return lastHead
}

/** The version key of one member of a sorted set that is not written whole. */
const memberKey = (key: string, member: string): string => `${versionKeyOf(key)}:${member}`

/** One command; `key` is the whole key, prefix included. */
export function encodeWrite(
  write: ViewWrite,
  key: string,
  version: string,
  manner: Manner,
): string {
  switch (write.op) {
    case 'json': {
      const { body } = write
      const value = `${jsonHead}${version}"${body === '}' ? '' : ','}${body}`
      return callsOf[manner].json + both(key) + head(version, write.ttlMs) + bulk(value)
    }
    case 'hash': {
      const { fields } = write
      let text = `*${fields.length + 7}\r\n${callsOf[manner].hash}${both(key)}`
      text += head(version, write.ttlMs)
      for (let i = 0; i < fields.length; i += 2) text += name(fields[i]) + bulk(fields[i + 1])
      return text
    }
    case 'zset': {
      const { members, scores } = write
      let text = `*${members.length * 2 + 7}\r\n${callsOf[manner].zset}${both(key)}`
      text += head(version, write.ttlMs)
      for (let i = 0; i < members.length; i++) text += bulk(`${scores[i]}`) + bulk(members[i])
      return text
    }
    case 'zadd': {
      const { member, score } = write
      const keys = bulk(key) + bulk(memberKey(key, member))
      return zaddCall + keys + head(version, goneLifeMs) + bulk(`${score}`) + bulk(member)
    }
    case 'zrem': {
      const { member } = write
      const keys = bulk(key) + bulk(memberKey(key, member))
      return zremCall + keys + head(version, goneLifeMs) + bulk(member)
    }
    case 'zclear': {
      const { members } = write
      let text = `*${members.length * 2 + 5}\r\n${call(scripts.zclear.sha1, members.length + 1)}${bulk(key)}`
      for (const member of members) text += bulk(memberKey(key, member))
      text += bulk(version)
      for (const member of members) text += bulk(member)
      return text
    }
    case 'string':
      return callsOf[manner].text + both(key) + head(version, write.ttlMs) + bulk(write.value)
    case 'delete':
      return removeCall + both(key) + head(version, goneLifeMs)
  }
}

/** The same without the version key, for a slot that is being moved; undefined for what can't do without. */
export function encodeAlone(
  write: ViewWrite,
  key: string,
  version: string,
  manner: Manner,
): string | undefined {
  if (write.op !== 'json' && write.op !== 'hash') return undefined
  const text = encodeWrite(write, key, version, manner)
  const parts = Number(text.slice(1, text.indexOf('\r')))
  const script = scripts[manner][write.op].sha1
  const [withKey, without] = [call(script, 2) + both(key), call(script, 1) + bulk(key)]
  return `*${parts - 1}${text.slice(text.indexOf('\r')).replace(withKey, () => without)}`
}

/** The command that moves a mark on. */
export function encodeMark(
  key: string,
  version: string,
  mark: Pick<ViewMark, 'through' | 'fromVersion' | 'fromThrough'>,
): string {
  const from = bulk(mark.fromVersion) + bulk(mark.fromThrough)
  return markCall + bulk(key) + bulk(version) + bulk(mark.through) + from
}
