/**
 * An archive's file: an Avro object container file (Avro 1.12, "Object Container Files") of `freshet.archive.LogRecord`, one
 * partition's records of one hour. docs/archive.md says what each field means. The header is read and written by avsc; the
 * blocks, by `blocks.ts`.
 */
import avsc from 'avsc'
import { FreshetError } from '../../streams/errors.ts'
import type { LogRecord } from '../../streams/transport/port.ts'

export interface ArchivedRecord extends LogRecord {
  /** The topic's short name, as in the manifest. */
  readonly topic: string
  readonly partition: number
  /** Place in the order over all topics and partitions of the archive. */
  readonly arrival: number
  /** Of a value in Confluent framing. */
  readonly schemaId: number | null
}

export const recordSchema = {
  type: 'record',
  namespace: 'freshet.archive',
  name: 'LogRecord',
  doc: 'One record of a Kafka partition, as it came',
  fields: [
    { name: 'offset', type: 'long' },
    {
      name: 'timestamp',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: "The record's timestamp on the log",
    },
    {
      name: 'arrival',
      type: 'long',
      doc: 'Place in the order over all topics and partitions of the archive',
    },
    {
      name: 'schemaId',
      type: ['null', 'int'],
      doc: 'Of a value in Confluent framing (byte 0, 4-byte id); the schemas are in schemas/<id>.json of the archive',
    },
    { name: 'key', type: ['null', 'bytes'] },
    { name: 'value', type: ['null', 'bytes'], doc: 'As it came, framing included' },
    {
      name: 'headers',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Header',
          fields: [
            { name: 'key', type: 'string' },
            { name: 'value', type: 'bytes' },
          ],
        },
      },
    },
  ],
} as const

export const codecs = ['deflate', 'null'] as const
export type Codec = (typeof codecs)[number]

export const SYNC_BYTES = 16
const MAGIC = Buffer.from('Obj\x01', 'latin1')
const SCHEMA_TEXT = JSON.stringify(recordSchema)

const headerType = avsc.Type.forSchema({
  type: 'record',
  name: 'Header',
  namespace: 'org.apache.avro.file',
  fields: [
    { name: 'magic', type: { type: 'fixed', name: 'Magic', size: MAGIC.length } },
    { name: 'meta', type: { type: 'map', values: 'bytes' } },
    { name: 'sync', type: { type: 'fixed', name: 'Sync', size: SYNC_BYTES } },
  ],
})

/** What a file says of itself, so that it is known where it belongs without the manifest too. */
export interface FileHeader {
  /** The archive's id. */
  readonly archive: string
  readonly topic: string
  readonly partition: number
  /** Partitions that the topic had. */
  readonly partitions: number
  /** The first offset it answers for. */
  readonly from: number
  readonly codec: Codec
  readonly sync: Buffer
}

export function encodeHeader(header: FileHeader): Buffer {
  const { codec, sync, ...own } = header
  const meta: Record<string, Buffer> = {
    'avro.schema': Buffer.from(SCHEMA_TEXT),
    'avro.codec': Buffer.from(codec),
  }
  for (const [name, value] of Object.entries(own))
    meta[`freshet.${name}`] = Buffer.from(String(value))
  return headerType.toBuffer({ magic: MAGIC, meta, sync })
}

/**
 * The header that `bytes` begins with and its length; undefined where more bytes are needed.
 * Errors: ARCHIVE_DAMAGED where it is none, or none of an archive.
 */
export function decodeHeader(
  bytes: Buffer,
  path: string,
): { readonly header: FileHeader; readonly length: number } | undefined {
  if (bytes.length < MAGIC.length) return undefined
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw damaged(path, 0, 'it does not begin as an Avro object container file')
  let decoded: { value: unknown; offset: number }
  try {
    decoded = headerType.decode(bytes, 0)
  } catch (error) {
    throw damaged(path, 0, 'its header makes no sense', error)
  }
  if (decoded.offset < 0) return undefined
  const { meta, sync } = decoded.value as { meta: Record<string, Buffer>; sync: Buffer }
  const text = (name: string): string => meta[name]?.toString() ?? ''
  const codec = text('avro.codec')
  if (text('avro.schema') !== SCHEMA_TEXT)
    throw damaged(path, 0, `its schema is not that of ${recordSchema.name}`)
  if (codec !== 'deflate' && codec !== 'null')
    throw damaged(path, 0, `its codec ${codec} is none that archives are written with`)
  return {
    header: {
      archive: text('freshet.archive'),
      topic: text('freshet.topic'),
      partition: Number(text('freshet.partition')),
      partitions: Number(text('freshet.partitions')),
      from: Number(text('freshet.from')),
      codec,
      sync,
    },
    length: decoded.offset,
  }
}

export const missing = (path: string): FreshetError =>
  new FreshetError(
    'ARCHIVE_DAMAGED',
    `the archive's file ${path} can't be read: it is missing; put it back from a copy, \`freshet archive verify\` says what else is wrong`,
  )

/** `at`: the byte. */
export function damaged(path: string, at: number, what: string, cause?: unknown): FreshetError {
  return new FreshetError(
    'ARCHIVE_DAMAGED',
    `the archive's file ${path} is damaged at byte ${at}: ${what}; put it back from a copy, \`freshet archive verify\` says what else is wrong`,
    cause,
  )
}
