import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
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
import { until } from '../../test/support/until.ts'
import { nodeDisk } from './disk.ts'
import { manifestOf } from './manifest.ts'
import { verify } from './verify.ts'

afterEach(removeFolders)

const manifestIn = (dir: string) => manifestOf(nodeDisk(dir))
describe('an archive', () => {
  it('holds every record as it came, by partition and hour', async () => {
    const log = await newLog(2)
    for (let i = 0; i < 100; i++)
      await log.send('events', [
        {
          key: Buffer.from(`u${i % 7}`),
          value: i % 10 === 0 ? null : Buffer.from(`v${i}`),
          headers: i % 3 === 0 ? { a: 'b', c: '' } : undefined,
          timestamp: T0 + i * 120_000,
        },
      ])
    await log.send('erasures', [{ key: null, value: Buffer.from('x'), timestamp: T0 }])
    const dir = newFolder()
    const report = await run(dir, { transport: log.transport, source: log.registry })
    expect(report.records).toBe(101)
    for (const topic of ['events', 'erasures'])
      for (const partition of [0, 1])
        expect(
          (await readArchive(dir, { topics: [topic], partitions: [partition] })).map(plain),
        ).toEqual(await logged(log.transport, { topic: `freshet.${topic}`, partition }))
    expect(readdirSync(join(dir, 'events', '0')).sort()).toEqual(
      readdirSync(join(dir, 'events', '1'))
        .map(name => expect.stringContaining(name.slice(0, 13)))
        .sort(),
    )
    expect(readdirSync(join(dir, 'events', '0'))).toHaveLength(4)
    expect(existsSync(join(dir, 'lock'))).toBe(false)
    expect(await verify(dir)).toMatchObject({ ok: true, records: 101, faults: [] })
  })

  it('goes on where it stood, and leaves alone what is there', async () => {
    const log = await newLog(1)
    const dir = newFolder()
    const settings = { transport: log.transport, source: log.registry }
    await log.send('events', [{ key: null, value: Buffer.from('a'), timestamp: T0 }])
    await run(dir, settings)
    const [first] = manifestIn(dir).files
    const before = readFileSync(join(dir, first.path))
    await log.send('events', [{ key: null, value: Buffer.from('b'), timestamp: T0 + 1 }])
    expect((await run(dir, { ...settings, topics: [] })).records).toBe(1)
    expect(readFileSync(join(dir, first.path))).toEqual(before)
    expect((await run(dir, settings)).records).toBe(0)
    expect((await readArchive(dir)).map(record => [record.offset, record.arrival])).toEqual([
      [0, 0],
      [1, 1],
    ])
    expect(await verify(dir)).toMatchObject({ ok: true, records: 2 })
  })

  it('records the order over topics and partitions: the oldest of the next records first', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), fc.nat(1), fc.nat(30)), { minLength: 1, maxLength: 60 }),
        async sent => {
          const log = await newLog(2)
          const names = ['events', 'items', 'erasures']
          const queues = new Map<string, number[]>()
          for (const [topic, partition, at] of sent) {
            await log.send(names[topic], [
              { key: Buffer.from(String(at)), value: null, partition, timestamp: T0 + at },
            ])
            const name = `${topic}/${partition}`
            queues.set(name, [...(queues.get(name) ?? []), at])
          }
          // brute force: look at all heads each time
          const expected: string[] = []
          const order = [0, 1, 2].flatMap(topic => [0, 1].map(partition => `${topic}/${partition}`))
          for (let left = sent.length; left > 0; left--) {
            const heads = order.filter(name => (queues.get(name) ?? []).length > 0)
            const oldest = Math.min(...heads.map(name => queues.get(name)?.[0] ?? 0))
            const next = heads.find(name => queues.get(name)?.[0] === oldest) as string
            expected.push(`${next}/${queues.get(next)?.shift()}`)
          }
          const dir = newFolder()
          await run(dir, { transport: log.transport, source: log.registry })
          const name = (r: { topic: string; partition: number; timestamp: number }) =>
            `${names.indexOf(r.topic)}/${r.partition}/${r.timestamp - T0}`
          const read = await readArchive(dir)
          expect(read.map(name)).toEqual(expected)
          expect(read.map(record => record.arrival)).toEqual(read.map((_, i) => i))
          expect((await readArchive(dir, { order: 'timestamp' })).map(name)).toEqual(expected)
          const some = await readArchive(dir, { topics: ['events', 'erasures'], partitions: [1] })
          expect(some.map(name)).toEqual(expected.filter(one => /^[02]\/1/.test(one)))
          removeFolders()
        },
      ),
      { numRuns: 25 },
    )
  })

  it('reads a range of time or offsets', async () => {
    const log = await newLog(1)
    const values = Array.from({ length: 50 }, (_, i) => i)
    await log.send(
      'events',
      values.map(i => ({ key: null, value: null, timestamp: T0 + i * 600_000 })),
    )
    const dir = newFolder()
    await run(dir, { transport: log.transport, source: log.registry })
    const offsets = async (range: Parameters<typeof readArchive>[1]) =>
      (await readArchive(dir, range)).map(record => record.offset)
    expect(await offsets({ fromMs: T0 + 6_000_000, toMs: T0 + 9_000_000 })).toEqual([
      10, 11, 12, 13, 14,
    ])
    expect(await offsets({ offsets: () => ({ from: 47 }) })).toEqual([47, 48, 49])
    expect(await offsets({ offsets: () => ({ from: 3, to: 5 }) })).toEqual([3, 4])
  })

  it('knows what compaction removed for a gap', async () => {
    const log = await newLog(1)
    for (let i = 0; i < 30; i++)
      await log.send('items', [
        { key: Buffer.from(`i${i % 4}`), value: Buffer.from(`${i}`), timestamp: T0 + i },
      ])
    await log.transport.clean()
    const dir = newFolder()
    await run(dir, { transport: log.transport, source: log.registry })
    const there = await logged(log.transport, { topic: 'freshet.items', partition: 0 })
    expect(there.length).toBeLessThan(30)
    expect((await readArchive(dir)).map(plain)).toEqual(there)
    const report = await verify(dir)
    expect(report.ok).toBe(true)
    const items = report.partitions.find(one => one.topic === 'items')
    expect(items).toMatchObject({ compacted: true, next: 30, absent: 30 - there.length })
  })

  it('follows the log until it is stopped, and can be read meanwhile', async () => {
    const log = await newLog(1)
    const dir = newFolder()
    const stop = new AbortController()
    const running = run(dir, {
      transport: log.transport,
      source: log.registry,
      follow: true,
      checkpointMs: 20,
      signal: stop.signal,
    })
    for (let i = 0; i < 5; i++) {
      await log.send('events', [{ key: null, value: Buffer.from([i]), timestamp: T0 + i }])
      await until(async () => {
        if (!existsSync(join(dir, 'manifest.json'))) return false
        return (await readArchive(dir)).length === i + 1
      })
    }
    expect(manifestIn(dir).files.map(file => file.open)).toEqual([true])
    await expect(run(dir, { transport: log.transport, source: log.registry })).rejects.toThrow(
      expect.objectContaining({
        code: 'CALL_INVALID',
        message: expect.stringMatching(/is being written by process \d+/),
      }),
    )
    await log.send('events', [{ key: null, value: null, timestamp: Date.now() }])
    await until(() => manifestIn(dir).files.length === 2)
    expect(manifestIn(dir).files.map(file => file.open)).toEqual([undefined, true])
    expect(await verify(dir)).toMatchObject({ ok: true, records: 6 })
    stop.abort()
    expect((await running).records).toBe(6)
    expect(manifestIn(dir).files.every(file => !file.open)).toBe(true)
    expect(await verify(dir)).toMatchObject({ ok: true, records: 6, notes: [] })
  })

  it('removes whole files that are older than it keeps, but not of compacted topics', async () => {
    const log = await newLog(1)
    const now = Date.now()
    const sent = [now - 100 * HOUR, now - 50 * HOUR, now - HOUR / 2]
    for (const timestamp of sent)
      for (const topic of ['events', 'items'])
        await log.send(topic, [
          { key: Buffer.from(`${timestamp}`), value: Buffer.from('v'), timestamp },
        ])
    const dir = newFolder()
    const settings = { transport: log.transport, source: log.registry }
    await run(dir, settings)
    expect((await run(dir, { ...settings, keepMs: 60 * HOUR })).removed).toBe(1)
    expect(readdirSync(join(dir, 'events', '0'))).toHaveLength(2)
    expect(readdirSync(join(dir, 'items', '0'))).toHaveLength(3)
    const report = await verify(dir)
    expect(report.faults).toEqual([])
    expect(report.partitions[0]).toMatchObject({ topic: 'events', start: 0, kept: 1, next: 3 })
    expect(manifestIn(dir).retention).toMatchObject([
      { topic: 'events', partition: 0, files: 1, records: 1, before: 1 },
    ])
    expect((await run(dir, { ...settings, keepMs: HOUR })).removed).toBe(1)
    expect(manifestIn(dir).retention).toMatchObject([{ files: 2, records: 2, before: 2 }])
  })

  it('carries the schemas of its values, and notes ids that the registry does not have', async () => {
    const log = await newLog(1)
    const value = log.encoder.encode('Erasure', { eventId: 'e', userId: 'u', ts: T0, reason: '' })
    const unknown = Buffer.concat([Buffer.from([0, 0, 0, 9, 9]), Buffer.from('x')])
    await log.send('erasures', [
      { key: null, value, timestamp: T0 },
      { key: null, value: unknown, timestamp: T0 },
      { key: null, value: Buffer.from('{"type":"watch"}'), timestamp: T0 },
    ])
    const dir = newFolder()
    let away = true
    const source = {
      find: async (id: number) => {
        if (away) throw new Error('the registry is away')
        return log.registry.find(id)
      },
    }
    const clock = {
      now: Date.now,
      wall: Date.now,
      sleep: async () => {
        away = false
      },
      turn: async () => undefined,
    }
    const { schemaProblem } = await run(dir, { transport: log.transport, source, clock })
    expect(schemaProblem).toBeUndefined()
    const id = value.readInt32BE(1)
    expect(manifestIn(dir).schemas).toEqual([
      { id, state: 'known', sha256: expect.any(String) },
      { id: 2313, state: 'missing' },
    ])
    expect(JSON.parse(readFileSync(join(dir, 'schemas', `${id}.json`), 'utf8'))).toMatchObject({
      id,
      type: 'AVRO',
      schema: expect.stringContaining('"Erasure"'),
    })
    expect((await verify(dir)).notes.join()).toContain('2313')
    expect((await readArchive(dir)).map(record => record.schemaId)).toEqual([id, 2313, null])
  })
})

describe('a call that can not be done says so', () => {
  it('where it contradicts the archive or the log', async () => {
    const log = await newLog(2)
    const dir = newFolder()
    const settings = { transport: log.transport, source: log.registry }
    for (let i = 0; i < 4; i++)
      await log.send('events', [{ key: null, value: null, partition: 0, timestamp: T0 + i }])
    await run(dir, { ...settings, from: { kind: 'time', ms: T0 + 1 } })
    expect(await readArchive(dir)).toHaveLength(3)
    const refused = (given: Partial<Parameters<typeof run>[1]>) =>
      run(dir, { ...settings, ...given }).then(
        () => 'done',
        (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
      )
    expect(await refused({ from: { kind: 'earliest' } })).toMatch(
      /^CALL_INVALID: --from got earliest, and this archive was begun with 2026-09-01T10:00:00.001Z/,
    )
    expect(await refused({ topics: topicsOf('events') })).toMatch(
      /^CALL_INVALID: --topic got events/,
    )
    expect(await refused({ codec: 'null' })).toMatch(/^CALL_INVALID: --codec/)
    const other = { ...settings, topics: topicsOf('events', 'nothing') }
    expect(await run(newFolder(), other).catch(String)).toMatch(/no topic freshet.nothing/)
    expect(
      await run(newFolder(), { ...settings, from: { kind: 'offset', offset: 9 } }).catch(String),
    ).toMatch(/freshet.events-0 holds the offsets 0 to 3/)

    const smaller = await newLog(1)
    expect(await refused({ transport: smaller.transport })).toMatch(
      /^PARTITION_COUNT: freshet.events has 1 partitions, and had 2/,
    )
    const anew = await newLog(2)
    expect(await refused({ transport: anew.transport })).toMatch(
      /^POSITION_LOST: the archive has freshet.events-0 up to 3, and the log ends at 0/,
    )
  })

  it('where the log has lost what comes next; accepted, it is noted and told by verify', async () => {
    const log = await newLog(1)
    const dir = newFolder()
    const settings = { transport: log.transport, source: log.registry }
    const send = (n: number) =>
      log.send(
        'events',
        Array.from({ length: n }, () => ({ key: null, value: null, timestamp: T0 })),
      )
    await send(3)
    await run(dir, settings)
    await send(4)
    await log.transport.topics.trim({ topic: 'freshet.events', partition: 0 }, 5)
    await expect(run(dir, settings)).rejects.toThrow(/2 offsets were deleted before.*--accept-loss/)
    await run(dir, { ...settings, acceptLoss: true })
    expect((await readArchive(dir)).map(record => record.offset)).toEqual([0, 1, 2, 5, 6])
    const report = await verify(dir)
    expect(report.faults).toEqual([{ kind: 'lost', message: expect.stringContaining('3 to 4') }])
  })
})
