/**
 * State that cannot be trusted is refused at the start, on a real Kafka: exit code 1, one sentence with the address, what
 * was expected, what was found and what to do. And the way out that it names works: `freshet reset`.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  COMMIT_KEY,
  readCommitRecord,
  writeCommitRecord,
} from '../../streams/runtime/commit-record.ts'
import { ByteWriter } from '../../streams/serde/bytes.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import { type Answer, answerOf, endRuns, freshet, Run } from './command.ts'
import { json, watch } from './producers.ts'
import { eventually, Setting } from './setting.ts'

const FAILED = 1
const WRONG_CALL = 2

let setting: Setting
let transport: Transport
let generation = 1

beforeAll(async () => {
  setting = await Setting.open()
  transport = await createKafkaTransport({ brokers: [setting.brokers], clientId: 'test' })
  await answerOf(setting, 'topics', 'create', '--topics.partitions', '1')
}, 300_000)

// one that failed must not keep the group from the next
afterEach(endRuns)
afterAll(async () => {
  await transport?.close()
  await setting?.close()
})

const own = (topic: string): string => setting.topic(`g${generation}.${topic}`)

const start = (changes: Record<string, string> = {}): Promise<Answer> =>
  freshet(
    { cwd: setting.cwd, variables: { ...setting.variables, ...changes } },
    'run',
    '--http.port',
    '0',
  )

/** What a person reads: standard error without the log's lines. */
const sentenceOf = ({ stderr }: Answer): string =>
  stderr
    .split('\n')
    .filter(line => !line.startsWith('{'))
    .join('\n')
    .trim()

function expectRefused(answer: Answer, ...parts: readonly RegExp[]): void {
  const sentence = sentenceOf(answer)
  expect(answer.code, answer.stderr).toBe(FAILED)
  expect(sentence.split('\n'), 'one line').toHaveLength(1)
  for (const part of parts) expect(sentence).toMatch(part)
}

/** Runs until it has worked, and stops in order. */
async function runOnce(): Promise<void> {
  const run = await new Run(setting).ready()
  await setting.taken('events')
  expect(await run.stop(), run.output).toBe(0)
}

async function send(count: number): Promise<void> {
  const messages = Array.from({ length: count }, (_, i) => {
    const user = `u${i % 5}`
    return { key: user, value: json(watch(user)) }
  })
  await setting.producer.send({ topic: setting.topic('events'), messages })
}

/** How far every topic of the application is written, but for the scratch topic of the fence's proof. */
async function ends(): Promise<Record<string, string>> {
  // an admin of its own: kafkajs goes on asking for topics that it has seen and that are gone
  const admin = setting.kafka.admin()
  await admin.connect()
  const topics = (await admin.listTopics()).sort()
  await admin.disconnect()
  const found: Record<string, string> = {}
  for (const topic of topics) {
    if (!topic.startsWith(`${setting.name}.`) || topic.endsWith('fence-probe')) continue
    const { partitions = 0 } = (await transport.topics.describe([topic])).get(topic) ?? {}
    const parts = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    found[topic] = (await transport.topics.offsets(parts)).map(({ end }) => end).join()
  }
  return found
}

/** Appends a batch to the user task's changelog as its next owner would: a sound batch around what it holds. */
async function appendAsOwner(...records: readonly (readonly [Buffer, Buffer])[]): Promise<string> {
  const at = { topic: own('user-changelog'), partition: 0 }
  const [{ end }] = await transport.topics.offsets([at])
  const { batches } = await transport.read(at, end - 1)
  const { producerId, producerEpoch } = batches[batches.length - 1]
  const builder = new RecordBatchBuilder()
  for (const [key, value] of records) builder.add(key, value)
  const writer = transport.writer({ producerId, epoch: producerEpoch + 1, deadlineMs: 10_000 })
  await writer.append(at, builder.finish(Date.now()))
  return `${at.topic}-0@${end}`
}

/** The last commit record of the user task, with another number. */
async function commitRecord(number: number): Promise<Buffer> {
  const at = { topic: own('user-changelog'), partition: 0 }
  const [{ start: first }] = await transport.topics.offsets([at])
  const { batches } = await transport.read(at, first, { maxBytes: 32 << 20 })
  const commits = batches
    .flatMap(batch => batch.records)
    .filter(({ key }) => key?.equals(COMMIT_KEY))
  const last = readCommitRecord(commits[commits.length - 1].value as Buffer, 'the last commit')
  const w = new ByteWriter(64)
  writeCommitRecord({ ...last, number }, w)
  return w.copy()
}

/** The way out, and that it is one. */
async function resetAndRun(): Promise<void> {
  const answer = (await answerOf(setting, 'reset', '--yes')) as { generation: number }
  expect(answer.generation).toBe(++generation)
  // what the group has committed is the old generation's: `runOnce` would take it for its own
  await setting.admin.deleteGroups([setting.name])
  await runOnce()
}

const escaped = (text: string): RegExp => new RegExp(text.replaceAll('.', '\\.'))

describe('state that cannot be trusted', () => {
  it('a reset before anything has begun does nothing', async () => {
    expect(await answerOf(setting, 'reset')).toEqual({ generation: null, removed: [] })
  }, 60_000)

  it("another application's prefix or group id, and nothing is written", async () => {
    await send(200)
    const run = await new Run(setting).ready()
    await setting.taken('events')
    // while the first one works
    const other = await start({ FRESHET_APPLICATION_ID: `${setting.name}-other` })
    expectRefused(
      other,
      escaped(`${setting.name}.generations-0@0: topics with the prefix "${setting.name}."`),
      escaped(`belong to application ${setting.name} since`),
      escaped(`this is ${setting.name}-other; give this one a topics.prefix of its own`),
      /freshet reset/,
    )
    const place = { ...setting.variables, FRESHET_TOPICS_PREFIX: `${setting.name}-2.` }
    await answerOf(
      { cwd: setting.cwd, variables: place },
      'topics',
      'create',
      '--topics.partitions',
      '1',
    )
    expectRefused(
      await start({ FRESHET_TOPICS_PREFIX: `${setting.name}-2.` }),
      escaped(
        `group ${setting.name}: its members work on ${setting.name}.g1, this one on ${setting.name}-2.g1`,
      ),
      /application\.id of its own/,
    )
    const busy = await freshet(setting, 'reset', '--yes')
    expectRefused(busy, escaped(`group ${setting.name} has 1 members`), /stop all workers/)
    expect(await run.stop(), run.output).toBe(0)
    const before = await ends()
    expectRefused(await start({ FRESHET_APPLICATION_ID: `${setting.name}-other` }))
    expect(await ends()).toEqual(before)
  }, 180_000)

  it('a reset asks, where it can; and begins everything anew from the input', async () => {
    const counted = async (): Promise<Record<string, string>[]> => {
      const keys = [0, 1, 2, 3, 4].map(i => `session:u${i}`)
      return [...(await setting.hashes(keys)).values()]
    }
    const watches = async (): Promise<(string | undefined)[]> =>
      (await counted()).map(({ watches: n }) => n)
    await eventually(async () => expect(await watches()).toEqual(Array(5).fill('40')), 20_000)
    for (const { version } of await counted()) expect(version).toMatch(/^000001-/)

    const asked = await freshet(setting, 'reset')
    expect(asked.code).toBe(WRONG_CALL)
    expect(asked.stderr).toMatch(/generation 1 ends, 2 begins/)
    expect(asked.stderr).toMatch(escaped(`removed: ${setting.name}.g1.global-changelog`))
    expect(asked.stderr).toMatch(/no terminal.*add --yes/)

    await send(100)
    await resetAndRun()
    // 300 events from the start of the topic, not 100 on top of what was
    await eventually(async () => {
      expect(await watches()).toEqual(Array(5).fill('60'))
      for (const { version } of await counted()) expect(version).toMatch(/^000002-/)
    }, 20_000)
    const left = Object.keys(await ends())
    expect(left.filter(topic => /\.g1\./.test(topic))).toEqual([])
    for (const name of ['events', 'items', 'alerts', 'dead-letters'])
      expect(left).toContain(setting.topic(name))
  }, 180_000)

  it.each<[what: string, records: () => Promise<[Buffer, Buffer][]>, found: RegExp]>([
    [
      'a commit record that is cut',
      async () => [[COMMIT_KEY, (await commitRecord(1_000)).subarray(0, 7)]],
      /the commit record is damaged: it says checksum/,
    ],
    [
      'a commit number that skips',
      async () => [[COMMIT_KEY, await commitRecord(1_000_000)]],
      /commit 1000000 stands right behind commit \d+; \d+ are missing/,
    ],
    [
      'rows without their commit record',
      async () => [[Buffer.from([1, 1, 97]), Buffer.from([1])]],
      /row of users can't be read|rows stand behind the last commit/,
    ],
    [
      "a newer version's rows",
      async () => [[Buffer.from([250, 1]), Buffer.from([1])]],
      /a row of store 250, which this task does not keep: a newer version/,
    ],
  ])(
    '%s, with its address',
    async (_, records, found) => {
      const where = await appendAsOwner(...(await records()))
      expectRefused(await start(), escaped(where), found, /freshet reset/)
      await resetAndRun()
    },
    180_000,
  )

  it('a changelog removed, or made anew and empty', async () => {
    const topic = own('user-changelog')
    await transport.topics.remove([topic])
    const before = await ends()
    expectRefused(await start(), escaped(topic), /is not there, although there was state/)
    expect(await ends(), 'nothing is made').toEqual(before)
    await transport.topics.create([{ topic, partitions: 1, config: {} }])
    expectRefused(await start(), escaped(`${topic}-0: is empty, although there was state`))
    expect(await transport.topics.offsets([{ topic, partition: 0 }])).toEqual([
      { start: 0, end: 0 },
    ])
    await resetAndRun()
  }, 180_000)

  it('a changelog whose head was deleted', async () => {
    const at = { topic: own('user-changelog'), partition: 0 }
    const [{ end }] = await transport.topics.offsets([at])
    await setting.admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: 2,
          name: at.topic,
          configEntries: [{ name: 'cleanup.policy', value: 'compact,delete' }],
        },
      ],
    })
    await transport.topics.trim(at, end - 1)
    expectRefused(await start(), escaped(`${at.topic}-0@0: the log begins at ${end - 1}`))
    await resetAndRun()
  }, 180_000)

  it('input that is gone unread, and input made anew', async () => {
    const at = { topic: setting.topic('events'), partition: 0 }
    await send(10)
    const [{ end }] = await transport.topics.offsets([at])
    await transport.topics.trim(at, end)
    const lost = escaped(`${at.topic}-0: records ${end - 10} to ${end - 1} are gone`)
    expectRefused(await start(), lost, /retention/, /freshet reset/)
    await resetAndRun()
    await transport.topics.remove([at.topic])
    await transport.topics.create([{ topic: at.topic, partitions: 1, config: {} }])
    expectRefused(
      await start(),
      escaped(`${at.topic}-0: records up to ${end - 1} were taken in, the log ends at 0`),
      /freshet reset/,
    )
    await resetAndRun()
  }, 180_000)
})
