/** A real process, killed for good while it writes, over and over; and the archive read by another Avro library. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type { OutsideRecord } from '../../streams/transport/port.ts'
import {
  HOUR,
  logged,
  newFolder,
  newLog,
  plain,
  readArchive,
  removeFolders,
  run,
  T0,
  topicsOf,
} from '../../test/support/archived-log.ts'
import { runPython } from '../../test/support/python.ts'
import { nodeDisk } from './disk.ts'
import { manifestOf } from './manifest.ts'
import { verify } from './verify.ts'

afterEach(removeFolders)

/** Recounts an archive with fastavro: each file's records, and what they hold as one long list. */
const recount = `
import json, sys, hashlib, fastavro
given = json.load(sys.stdin)
manifest = json.load(open(given["dir"] + "/manifest.json"))
files = []
for entry in manifest["files"]:
    raw = open(given["dir"] + "/" + entry["path"], "rb").read()
    with open(given["dir"] + "/" + entry["path"], "rb") as f:
        reader = fastavro.reader(f)
        records = list(reader)
        files.append({
            "path": entry["path"],
            "sha256": hashlib.sha256(raw).hexdigest(),
            "topic": reader.metadata["freshet.topic"],
            "partition": int(reader.metadata["freshet.partition"]),
            "records": [{
                "offset": r["offset"],
                "timestamp": round(r["timestamp"].timestamp() * 1000),
                "arrival": r["arrival"],
                "schemaId": r["schemaId"],
                "key": None if r["key"] is None else r["key"].hex(),
                "value": None if r["value"] is None else r["value"].hex(),
                "headers": [[h["key"], h["value"].hex()] for h in r["headers"]],
            } for r in records],
        })
print(json.dumps(files))
`

interface Recounted {
  readonly path: string
  readonly sha256: string
  readonly topic: string
  readonly partition: number
  readonly records: { readonly offset: number; readonly arrival: number }[]
}

describe('an archive', () => {
  it.each(['deflate', 'null'] as const)(
    'is read by fastavro, record by record (%s)',
    async codec => {
      const log = await newLog(2)
      for (let i = 0; i < 300; i++)
        await log.send('events', [
          {
            key: i % 7 === 0 ? null : Buffer.from(`user ${i % 11} é`),
            value:
              i % 9 === 0
                ? null
                : log.encoder.encode('Erasure', {
                    eventId: `e${i}`,
                    userId: 'x'.repeat(i * 5),
                    ts: T0,
                    reason: '',
                  }),
            headers: i % 5 === 0 ? { 'h é': `v${i}`, '': '' } : undefined,
            partition: i % 2,
            timestamp: T0 + i * (HOUR / 100),
          },
        ])
      const dir = newFolder()
      await run(dir, { transport: log.transport, source: log.registry, codec })
      const files = runPython(recount, { dir }) as Recounted[]
      expect(files.length).toBeGreaterThan(4)
      const { files: entries } = manifestOf(nodeDisk(dir))
      expect(
        files.map(({ path, sha256, topic, partition }) => ({ path, sha256, topic, partition })),
      ).toEqual(
        entries.map(({ path, sha256, topic, partition }) => ({ path, sha256, topic, partition })),
      )
      const ours = (await readArchive(dir)).map(record => ({
        offset: record.offset,
        timestamp: record.timestamp,
        arrival: record.arrival,
        schemaId: record.schemaId,
        key: record.key?.toString('hex') ?? null,
        value: record.value?.toString('hex') ?? null,
        headers: record.headers.map(one => [one.key, one.value.toString('hex')]),
      }))
      const theirs = files.flatMap(file => file.records).sort((a, b) => a.arrival - b.arrival)
      expect(theirs).toEqual(ours)
    },
  )

  it('has each offset once, however often its writer is killed', async () => {
    const data = newFolder()
    const transport = createEmbeddedTransport({ dir: data })
    const topics = ['events', 'erasures']
    await transport.topics.create(
      topics.map(name => ({ topic: `freshet.${name}`, partitions: 2, config: {} })),
    )
    const publisher = transport.publisher()
    for (let i = 0; i < 400; i++) {
      const records: OutsideRecord[] = Array.from({ length: 25 }, (_, n) => ({
        key: Buffer.from(`u${n}`),
        value: Buffer.from(`value ${i} ${n}`),
        partition: n % 2,
        timestamp: T0 + i * (HOUR / 60),
      }))
      await publisher.send(`freshet.${topics[i % 4 === 0 ? 1 : 0]}`, records)
    }
    await transport.close()

    const dir = newFolder()
    const program = fileURLToPath(new URL('../../test/support/archive-program.ts', import.meta.url))
    let killed = 0
    let ended: number | null = null
    const counts: number[] = []
    while (ended === null) {
      const child = spawn(process.execPath, ['--import', 'tsx', program, data, dir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const told = firstOutput(child)
      const exited = once(child, 'exit') as Promise<[number | null]>
      await Promise.race([told, exited])
      if (killed < 3) {
        await new Promise(resolve => setTimeout(resolve, 30 + ((killed * 137) % 260)))
        child.kill('SIGKILL')
      }
      ;[ended] = await exited
      if (ended === null) killed++
      const report = await verify(dir)
      expect(report.faults).toEqual([])
      counts.push(report.records)
    }
    expect(ended).toBe(0)
    expect(killed).toBeGreaterThan(1)
    // each of them got on
    expect([...new Set(counts)].sort((a, b) => a - b)).toEqual(counts)
    expect((await verify(dir)).notes).toEqual([])
    const reopened = createEmbeddedTransport({ dir: data, readOnly: true })
    for (const { name, topic } of topicsOf(...topics))
      for (const partition of [0, 1])
        expect(
          (await readArchive(dir, { topics: [name], partitions: [partition] })).map(plain),
        ).toEqual(await logged(reopened, { topic, partition }))
    await reopened.close()
    expect((await readArchive(dir)).map(record => record.arrival)).toEqual(
      Array.from({ length: 10_000 }, (_, i) => i),
    )
  }, 120_000)

  const firstOutput = (child: ChildProcess): Promise<unknown> =>
    new Promise(resolve => child.stdout?.once('data', resolve))
})
