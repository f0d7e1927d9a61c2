/** Calls that cannot work end with one sentence (what, where, how to put it right) and the exit code of CONTRACT 4. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, endRuns, freshet, Run } from './command.ts'
import { Setting } from './setting.ts'

const WRONG_CALL = 2
const FAILED = 1
/** Nothing listens on port 1. */
const NOBODY = '127.0.0.1:1'

/** What a person reads: standard error without the log's lines. */
const sentenceOf = ({ stderr }: Answer): string =>
  stderr
    .split('\n')
    .filter(line => !line.startsWith('{'))
    .join('\n')
    .trim()

function expectSentence(answer: Answer, code: number, ...parts: readonly RegExp[]): void {
  const sentence = sentenceOf(answer)
  expect(answer.code, sentence).toBe(code)
  expect(sentence.split('\n'), 'one line').toHaveLength(1)
  for (const part of parts) expect(sentence).toMatch(part)
  expect(sentence).not.toMatch(/undefined|\[object|^\s+at /)
}

describe('wrong calls end with 2', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'freshet-calls-'))
  let taken: Server

  beforeAll(async () => {
    writeFileSync(join(cwd, 'unknown.json'), '{"topk.sizes": 3}')
    writeFileSync(join(cwd, 'broken.json'), '{"topk.size": ')
    writeFileSync(join(cwd, 'ratings.dat'), '1::2::9::1365029107\n')
    taken = createServer().listen(0, '0.0.0.0')
    await new Promise(resolve => taken.once('listening', resolve))
  })
  afterAll(() => {
    taken.close()
    rmSync(cwd, { recursive: true, force: true })
  })

  const call = (args: readonly string[], variables: Record<string, string> = {}): Promise<Answer> =>
    freshet({ cwd, variables }, ...args)

  it.concurrent.each<
    [what: string, args: string[], variables: Record<string, string>, parts: RegExp[]]
  >([
    [
      'a flag out of range',
      ['run', '--topk.size', '0'],
      {},
      [/option topk\.size/, /flag/, /"0"/, /from 1 to 200/],
    ],
    [
      'a variable of another kind',
      ['run'],
      { FRESHET_TOPK_SIZE: 'many' },
      [/topk\.size/, /FRESHET_TOPK_SIZE/, /"many"/, /from 1 to 200/],
    ],
    [
      'a duration without its unit',
      ['run', '--session.gap', '30 minutes'],
      {},
      [/session\.gap/, /"30 minutes"/, /30m|ms, s|5m/],
    ],
    [
      'an option that there is not',
      ['config', 'show', '--set', 'topk.sise=3'],
      {},
      [/topk\.sise/, /did you mean topk\.size/],
    ],
    ['--set without a value', ['run', '--set', 'topk.size'], {}, [/--set/, /option=value/]],
    [
      'an unknown key in the config file',
      ['run', '--config', 'unknown.json'],
      {},
      [/topk\.sizes/, /unknown\.json/, /topk\.size\b/],
    ],
    ['a config file that is no JSON', ['run', '--config', 'broken.json'], {}, [/broken\.json/]],
    ['a config file that is not there', ['run', '--config', 'none.json'], {}, [/none\.json/]],
    [
      'a topology that there is not',
      ['run', '--topology', 'sesions'],
      {},
      [/"sesions"/, /sessions, labels/],
    ],
    ['workers that are no number', ['run', '--workers', 'two'], {}, [/--workers/, /"two"/]],
    [
      'workers on embedded parts',
      ['run', '--workers', '2'],
      {},
      [/kafka\.brokers, redis\.url, clickhouse\.url/],
    ],
    [
      'an unknown format',
      ['import', 'ratings.dat', '--format', 'netflix'],
      {},
      [/--format/, /"netflix"/, /movietweetings, movielens, csv, jsonl/],
    ],
    [
      'a file that is not there',
      ['import', 'no.dat', '--format', 'movietweetings', '--to', 'out.jsonl'],
      {},
      [/no\.dat/],
    ],
    [
      'a condition that cannot be read',
      ['import', 'ratings.dat', '--format', 'movietweetings', '--positive', 'rating >'],
      {},
      [/rating >/, /character \d+/],
    ],
    ['a broker without its port', ['run'], { FRESHET_KAFKA_BROKERS: 'somewhere' }, [/somewhere/]],
    [
      'a Redis address of another kind',
      ['topk', 'u1'],
      { FRESHET_REDIS_URL: 'http://x' },
      [/http:\/\/x/, /redis/],
    ],
  ])(
    '%s',
    async (_, args, variables, parts) => {
      expectSentence(await call(args, variables), WRONG_CALL, ...parts)
    },
    120_000,
  )

  it.concurrent('a port that is taken', async () => {
    const { port } = taken.address() as AddressInfo
    const answer = await call(['run', '--clickhouse.url', 'none', '--http.port', String(port)])
    expectSentence(answer, WRONG_CALL, /http\.port/, new RegExp(String(port)), /0 for any/)
  }, 120_000)

  it.concurrent.each([
    ['an unknown command', ['rum'], /rum/],
    ['an unknown flag', ['run', '--nonsense', '1'], /--nonsense/],
    ['an argument left out', ['topk'], /user/],
    ['a required flag left out', ['import', 'ratings.dat'], /--format/],
  ])(
    '%s: says so and where help is',
    async (_, args, part) => {
      const answer = await call(args)
      expect(answer.code, answer.stderr).toBe(WRONG_CALL)
      expect(sentenceOf(answer)).toMatch(part)
      expect(sentenceOf(answer)).toMatch(/--help/)
    },
    120_000,
  )

  it.concurrent('help and version are no wrong calls, and help has an example', async () => {
    for (const args of [
      ['run', '--help'],
      ['topics', 'create', '--help'],
      ['import', '--help'],
    ]) {
      const { code, stdout } = await call(args)
      expect(code).toBe(0)
      expect(stdout).toMatch(/Example:\n {2}\$ .*freshet/)
    }
    expect(await call(['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+/),
    })
  }, 120_000)
})

describe('what is missing around it ends with 1', () => {
  let setting: Setting

  beforeAll(async () => {
    setting = await Setting.open()
  }, 300_000)
  afterAll(async () => {
    await endRuns()
    await setting?.close()
  })

  const run = (changes: Record<string, string>): Promise<Answer> =>
    freshet(
      { cwd: setting.cwd, variables: { ...setting.variables, ...changes } },
      'run',
      '--http.port',
      '0',
    )

  it.each([
    ['broker', 'FRESHET_KAFKA_BROKERS', NOBODY, /kafka\.brokers|FRESHET_KAFKA_BROKERS/],
    ['Redis', 'FRESHET_REDIS_URL', `redis://${NOBODY}`, /redis\.url|FRESHET_REDIS_URL/],
    [
      'ClickHouse',
      'FRESHET_CLICKHOUSE_URL',
      `http://${NOBODY}`,
      /clickhouse\.url|FRESHET_CLICKHOUSE_URL/,
    ],
    [
      'schema registry',
      'FRESHET_SCHEMA_REGISTRY_URL',
      `http://${NOBODY}`,
      /schemaRegistry\.url|FRESHET_SCHEMA_REGISTRY_URL/,
    ],
  ])(
    'an unreachable %s',
    async (_, variable, address, option) => {
      expectSentence(await run({ [variable]: address }), FAILED, /127\.0\.0\.1:1\b/, option)
    },
    120_000,
  )

  it('topics that are not there', async () => {
    const topic = setting.topic('events').replaceAll('.', '\\.')
    expectSentence(await run({}), FAILED, new RegExp(topic), /freshet topics create/)
  }, 120_000)

  it('inputs that are not co-partitioned', async () => {
    const prefix = `${setting.name}-odd.`
    await setting.admin.createTopics({
      topics: [
        { topic: `${prefix}events`, numPartitions: 4 },
        { topic: `${prefix}items`, numPartitions: 2 },
        { topic: `${prefix}erasures`, numPartitions: 3 },
      ],
    })
    const answer = await run({ FRESHET_TOPICS_PREFIX: prefix })
    expectSentence(answer, FAILED, /events \(4 partitions\)/, /erasures \(3\)/, /with 4/)
  }, 120_000)

  it('partitions added under the state', async () => {
    const place = { cwd: setting.cwd, variables: setting.variables }
    const made = await freshet(place, 'topics', 'create', '--topics.partitions', '2')
    expect(made.code, made.stderr).toBe(0)
    const first = await new Run(setting).ready()
    expect(await first.stop(), first.output).toBe(0)
    await setting.admin.createPartitions({
      topicPartitions: ['events', 'erasures'].map(name => ({
        topic: setting.topic(name),
        count: 3,
      })),
    })
    expectSentence(
      await run({}),
      FAILED,
      /user-changelog/,
      /2 partitions/,
      /now has 3/,
      /generation/,
    )
  }, 180_000)

  it('a user without a list or a session', async () => {
    const place = { cwd: setting.cwd, variables: setting.variables }
    const list = await freshet(place, 'topk', 'nobody')
    expect(list).toMatchObject({
      code: FAILED,
      stdout: expect.stringMatching(/no list for nobody/),
    })
    const session = await freshet(place, 'inspect', 'session', 'nobody', '--json')
    expect(session).toMatchObject({ code: FAILED, stdout: 'null\n' })
  }, 120_000)
})
