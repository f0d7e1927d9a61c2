/**
 * Whose is an archived record? The user's where the key is their id, or the value names them as its userId: a record under a
 * wrong key, too. Values are decoded only where the id's bytes stand in them.
 */
import avsc from 'avsc'
import { Decoder, type SchemaSource } from '../../schemas/index.ts'
import type { ArchivedRecord } from './format.ts'

/** How the values of topics are read; what else there is holds the bytes of whoever sent them. */
const decoded = ['events', 'erasures', 'session-features'] as const
const noUsers: readonly string[] = ['items', 'models', 'experiments', 'alerts']

/** The archived topics that may hold records of a user. */
export const ofUsers = (topics: readonly { readonly name: string }[]): string[] =>
  topics.map(topic => topic.name).filter(name => !noUsers.includes(name))

/** For `erase`. A value that can't be decoded is the user's where their id stands in it as a whole string, of Avro or JSON. */
export function recordsOf(
  userId: string,
  source: SchemaSource,
): (record: ArchivedRecord) => boolean | Promise<boolean> {
  const id = Buffer.from(userId)
  const json = Buffer.from(JSON.stringify(userId))
  const escaped = json.subarray(1, -1)
  const avro = avsc.Type.forSchema('string').toBuffer(userId)
  const decoders = new Map<string, Decoder<(typeof decoded)[number]>>(
    decoded.map(topic => [topic, new Decoder(topic, source)]),
  )
  const judge = async (record: ArchivedRecord, value: Buffer): Promise<boolean> => {
    const isWhole = (): boolean => value.includes(avro) || value.includes(json)
    const decoder = decoders.get(record.topic)
    if (decoder === undefined) return isWhole()
    let found = decoder.decode(value)
    if ('needs' in found) {
      await decoder.resolve(found.needs)
      found = decoder.decode(value)
    }
    return 'record' in found ? found.record.userId === userId : isWhole()
  }
  return record => {
    const { key, value } = record
    if (key?.equals(id)) return true
    if (value === null || !(value.includes(id) || value.includes(escaped))) return false
    return judge(record, value)
  }
}
