/**
 * HOT. Encodes view writes as Redis commands (RESP) into one text a batch. Through ioredis' own pipeline a session hash of
 * ten fields costs one Command object with its promise, closures and string each, about twice as much; `bench.ts` beside
 * this file measures both. Strings are appended, not written to a buffer piece by piece: V8 flattens the text once, when
 * the socket makes it bytes.
 */
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { jsonHead, scripts } from './scripts.ts'
import { versionKeyOf } from './slot.ts'

const bytesOf = Buffer.byteLength

function bulk(text: string): string {
  return `$${bytesOf(text)}\r\n${text}\r\n`
}

/** What stands between the number of parts and the keys. */
const call = (sha1: string, keys: number): string => bulk('EVALSHA') + bulk(sha1) + bulk(`${keys}`)
const jsonCall = `*7\r\n${call(scripts.json.sha1, 1)}`
const hashCall = call(scripts.hash.sha1, 1)
const zsetCall = call(scripts.zset.sha1, 2)
const removeCall = `*6\r\n${call(scripts.remove.sha1, 2)}`

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

/** One command; `key` is the whole key, prefix included. */
export function encodeWrite(write: ViewWrite, key: string, version: string): string {
  switch (write.op) {
    case 'json': {
      const { body } = write
      const value = `${jsonHead}${version}"${body === '}' ? '' : ','}${body}`
      return jsonCall + bulk(key) + bulk(version) + bulk(`${write.ttlMs}`) + bulk(value)
    }
    case 'hash': {
      const { fields } = write
      let text = `*${fields.length + 6}\r\n${hashCall}${bulk(key)}${bulk(version)}${bulk(`${write.ttlMs}`)}`
      for (let i = 0; i < fields.length; i += 2) text += name(fields[i]) + bulk(fields[i + 1])
      return text
    }
    case 'zset': {
      const { members, scores } = write
      let text = `*${members.length * 2 + 7}\r\n${zsetCall}${bulk(key)}${bulk(versionKeyOf(key))}`
      text += bulk(version) + bulk(`${write.ttlMs}`)
      for (let i = 0; i < members.length; i++) text += bulk(`${scores[i]}`) + bulk(members[i])
      return text
    }
    case 'zadd':
      return `*4\r\n$4\r\nZADD\r\n${bulk(key)}${bulk(`${write.score}`)}${bulk(write.member)}`
    case 'zrem':
      return `*3\r\n$4\r\nZREM\r\n${bulk(key)}${bulk(write.member)}`
    case 'string':
      return write.ttlMs === 0
        ? `*3\r\n$3\r\nSET\r\n${bulk(key)}${bulk(write.value)}`
        : `*5\r\n$3\r\nSET\r\n${bulk(key)}${bulk(write.value)}$2\r\nPX\r\n${bulk(`${write.ttlMs}`)}`
    case 'delete':
      return removeCall + bulk(key) + bulk(versionKeyOf(key)) + bulk(version)
  }
}
