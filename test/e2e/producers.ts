/** What producers send in `bad-input.test.ts`: good events, other writers' bytes, keys by partition. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Partitioners } from 'kafkajs'
import { expect } from 'vitest'
import { runPython } from '../support/python.ts'
import type { Setting } from './setting.ts'

export const PARTITIONS = 4
export const PATIENCE_MS = 60_000
export const NOW = Date.now()
export const MINUTE_MS = 60_000
export const MEGABYTE = 1024 * 1024
/** A dead letter holds this much of a key or value; the offset in its headers leads to the rest. */
export const DEAD_LETTER_BYTES = 256 * 1024

export interface Message {
  readonly partition: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

export type Bad = readonly [what: string, codes: RegExp, key: Buffer | null, value: Buffer | null]

const partitioner = Partitioners.DefaultPartitioner()
/** murmur2 as kafkajs has it: not our own. */
export function partitionOf(key: string): number {
  const partitionMetadata = Array.from({ length: PARTITIONS }, (_, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: 0,
    replicas: [0],
    isr: [0],
  }))
  return partitioner({ topic: 't', partitionMetadata, message: { key, value: null } })
}

/** The first of `<prefix>0, <prefix>1, ...` that belongs to the partition. */
export function keyOn(partition: number, prefix: string): string {
  for (let i = 0; ; i++) if (partitionOf(`${prefix}${i}`) === partition) return `${prefix}${i}`
}

export const text = (value: string): Buffer => Buffer.from(value)
export const json = (value: object): Buffer => text(JSON.stringify(value))

let number = 0
export function watch(userId: string, changes: object = {}): Record<string, unknown> {
  number++
  return {
    type: 'watch',
    eventId: `e${number}`,
    userId,
    itemId: `i${number % 7}`,
    ts: NOW - 10 * MINUTE_MS + number * 10,
    playId: `p${number}`,
    watchedMs: 40_000,
    durationMs: 60_000,
    consent: 'full',
    ...changes,
  }
}

export function without(event: Record<string, unknown>, field: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).filter(([name]) => name !== field))
}

export function framed(id: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeInt32BE(id, 1)
  return Buffer.concat([head, body])
}

export const avro = (name: string): string =>
  readFileSync(join(import.meta.dirname, `../../schemas/avro/${name}.avsc`), 'utf8')

/** Registers a schema as some other team would; gives its id. */
export async function register(setting: Setting, subject: string, schema: string): Promise<number> {
  const response = await fetch(`${setting.registry.url}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema }),
  })
  const { id } = (await response.json()) as { id: number }
  expect(id, `id of ${subject}`).toBeGreaterThan(0)
  return id
}

/** A record as fastavro writes it with the schema. */
export function written(schema: string, records: readonly object[]): Buffer[] {
  const script = `
import base64, io, json, sys
from fastavro import parse_schema, schemaless_writer
given = json.load(sys.stdin)
schema = parse_schema(json.loads(given['schema']))
out = []
for record in given['records']:
    to = io.BytesIO()
    schemaless_writer(to, schema, record)
    out.append(base64.b64encode(to.getvalue()).decode())
json.dump(out, sys.stdout)
`
  return (runPython(script, { schema, records }) as string[]).map(each =>
    Buffer.from(each, 'base64'),
  )
}

/** fastavro takes datetimes for timestamps; the bytes are those of the long. */
export const asLongs = (schema: string): string =>
  JSON.stringify(JSON.parse(schema, (key, value) => (key === 'logicalType' ? undefined : value)))
