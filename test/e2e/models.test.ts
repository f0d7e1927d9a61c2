/**
 * Models trained by other tools, through `freshet models` on a real broker: checked against what the tools themselves say,
 * pushed, promoted, taken back; and what must be refused.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkModel } from '../../topologies/models/check.ts'
import { featureSet } from '../../topologies/models/features.ts'
import { openRuntime } from '../../topologies/models/onnxruntime.ts'
import { foreignModels } from '../support/foreign-models.ts'
import { answerOf, freshet, type Place } from './command.ts'
import { Setting } from './setting.ts'

const good = [
  'lightgbm',
  'lightgbmRegressor',
  'xgboost',
  'xgboostRegressor',
  'logistic',
  'logisticNamed',
  'network',
]
/** Trees of 500 KB on a machine that does other things too. */
const budget = ['--models.budgetMs', '1000']

interface Listed {
  readonly name: string
  readonly sha256: string
  readonly chunks: number
  readonly sizeBytes: number
  readonly featureHash: string
  readonly lineage: Readonly<Record<string, string>>
  readonly promotedAt: string | null
  readonly isPrevious: boolean
  readonly featuresAreCurrent: boolean
}

describe('models of other tools', () => {
  const models = foreignModels()
  const files = mkdtempSync(join(tmpdir(), 'freshet-models-'))
  const fileOf = (name: string): string => join(files, `${name}.onnx`)
  const goldenOf = (name: string): string => join(files, `${name}.json`)
  const shaOf = (name: string): string =>
    createHash('sha256').update(models[name].model).digest('hex')
  let setting: Setting
  const push = (place: Place, name: string, as: string, ...more: string[]) =>
    freshet(place, 'models', 'push', fileOf(name), '--name', as, ...budget, ...more)

  beforeAll(async () => {
    for (const [name, { model, rows, outputs }] of Object.entries(models)) {
      writeFileSync(fileOf(name), model)
      writeFileSync(goldenOf(name), JSON.stringify({ rows, outputs }))
    }
    setting = await Setting.open()
    await answerOf(setting, 'topics', 'create')
  })
  afterAll(async () => {
    await setting?.close()
    rmSync(files, { recursive: true, force: true })
  })

  const verdictOf = (name: string, golden = models[name]) =>
    checkModel(models[name].model, {
      features: featureSet(),
      open: openRuntime(),
      maxBytes: 1 << 20,
      budgetMs: 1_000,
      elapsedMs: () => performance.now(),
      golden,
    })

  it.each(good)('%s gives what its tool says, within 1e-5', name => {
    expect(verdictOf(name)).toMatchObject({ sha256: shaOf(name), goldenRows: 40, refusals: [] })
  })

  it.each<[name: string, found: RegExp, mend: RegExp]>([
    ['zipMap', /output output_probability is a list of maps/, /'zipmap': False/],
    ['doubles', /input input is float64/, /FloatTensorType/],
    ['notANumber', /row of defaults gives (NaN|-Infinity)/, /guard logarithms/],
  ])('%s is refused with what to change', (name, found, mend) => {
    const { refusals } = verdictOf(name)
    expect(refusals).toEqual([
      expect.objectContaining({
        found: expect.stringMatching(found),
        mend: expect.stringMatching(mend),
      }),
    ])
  })

  it('a check that does not hold ends with 3, a push that is refused with 1 and what is wrong', async () => {
    const { code, stdout } = await freshet(setting, 'models', 'check', fileOf('zipMap'))
    expect(code).toBe(3)
    expect(stdout).toMatch(/found .*\n.*expected .*\n.*mend .*zipmap/)
    const golden = ['--golden', goldenOf('xgboostRegressor')]
    const pushed = await push(setting, 'lightgbm', 'refused', ...golden)
    expect(pushed.code).toBe(1)
    expect(pushed.stdout).toMatch(/row \d+ of the golden batch gives [\d.]+, it says/)
  })

  it('is pushed in chunks, promoted, taken back, and read again byte by byte', async () => {
    const sha = { first: shaOf('lightgbm'), second: shaOf('logistic') }
    const first = await push(
      setting,
      'lightgbm',
      'ranker',
      '--trainer',
      'a test',
      '--golden',
      goldenOf('lightgbm'),
      '--trained-from',
      '2026-01-01',
      '--trained-to',
      '2026-02-01T12:00:00Z',
    )
    expect(first.code, first.stdout + first.stderr).toBe(0)
    expect((await push(setting, 'logistic', 'ranker')).code).toBe(0)
    const listed = async (): Promise<Listed[]> =>
      (await answerOf(setting, 'models', 'list')) as Listed[]
    const { hash } = (await answerOf(setting, 'features', 'list')) as { hash: string }
    const all = await listed()
    expect(all.map(m => [m.sha256, m.chunks, m.promotedAt, m.featureHash])).toEqual([
      [sha.second, 1, null, hash],
      [sha.first, 2, null, hash],
    ])
    expect(all[1].lineage).toMatchObject({
      trainer: 'a test',
      trainedFrom: '2026-01-01T00:00:00.000Z',
      trainedTo: '2026-02-01T12:00:00.000Z',
    })

    const keys = await keysOnTopic(setting)
    expect(keys.map(({ key }) => key)).toEqual([
      `ranker@${sha.first}#0`,
      `ranker@${sha.first}#1`,
      `ranker@${sha.first}`,
      `ranker@${sha.second}#0`,
      `ranker@${sha.second}`,
    ])
    expect(Math.max(...keys.map(({ bytes }) => bytes))).toBeLessThan(512 * 1024 + 1_000)

    const named = (sha256: string): string => `ranker@${sha256}`
    const point = (...args: string[]) => answerOf(setting, 'models', ...args)
    expect(await point('promote', `ranker@${sha.first.slice(0, 8)}`)).toEqual({
      promoted: named(sha.first),
      before: null,
    })
    const early = await freshet(setting, 'models', 'rollback', 'ranker')
    expect(early.code).toBe(1)
    expect(early.stderr).toMatch(/is promoted and none was before it/)
    // twice: the one before is still the first
    for (const before of [sha.first, sha.second])
      expect(await point('promote', named(sha.second))).toEqual({
        promoted: named(sha.second),
        before,
      })
    expect((await listed()).map(m => [m.promotedAt !== null, m.isPrevious])).toEqual([
      [true, false],
      [false, true],
    ])
    expect(await point('rollback', 'ranker')).toEqual({
      promoted: named(sha.first),
      before: sha.second,
    })
    const twice = await freshet(setting, 'models', 'rollback', 'ranker')
    expect(twice.code).toBe(1)

    await answerOf(
      setting,
      'models',
      'export',
      '--name',
      'ranker',
      '--to',
      join(files, 'back.onnx'),
    )
    expect(readFileSync(join(files, 'back.onnx')).equals(models.lightgbm.model)).toBe(true)
  }, 180_000)

  it('is not promoted where a chunk of it is missing', async () => {
    await push(setting, 'lightgbm', 'torn')
    const key = `torn@${shaOf('lightgbm')}#1`
    await setting.producer.send({
      topic: setting.topic('models'),
      messages: [{ key, value: null }],
    })
    const promote = () => freshet(setting, 'models', 'promote', `torn@${shaOf('lightgbm')}`)
    const { code, stderr } = await promote()
    expect(code).toBe(1)
    expect(stderr).toContain(`has no ${key}, one of its 2 chunks`)
    expect((await push(setting, 'lightgbm', 'torn')).code).toBe(0)
    expect((await promote()).code).toBe(0)
  })

  it.concurrent.each<[what: string, args: string[], code: number, sentence: RegExp]>([
    [
      'a model that is not there',
      ['promote', `none@${'0'.repeat(64)}`],
      1,
      /there is no none@0+ on the topic; of none there is none/,
    ],
    ['no sha256', ['promote', 'ranker'], 2, /takes NAME@SHA256/],
    ['a name that none is promoted of', ['rollback', 'nobody'], 1, /no model nobody is promoted/],
    ['a name of the blend', ['push', 'x', '--name', 'blend'], 2, /--name got "blend"/],
    ['a file that is not there', ['check', 'no.onnx'], 2, /no.onnx can't be read/],
    [
      'a time that is none',
      ['push', 'x', '--name', 'x', '--trained-from', 'monday'],
      2,
      /--trained-from got "monday"/,
    ],
    [
      'a ranker that is none',
      ['list', '--ranker', 'ranker'],
      2,
      /option ranker.*blend or model:NAME/,
    ],
  ])('%s ends with a sentence', async (_, args, code, sentence) => {
    const answer = await freshet(setting, 'models', ...args)
    expect(answer.stderr).toMatch(sentence)
    expect(answer.code).toBe(code)
  })

  it('works on the embedded log too', async () => {
    const place = { cwd: files, variables: {} }
    const data = ['--data', join(files, 'data')]
    expect((await push(place, 'lightgbm', 'ranker', ...data)).code).toBe(0)
    await answerOf(place, 'models', 'promote', `ranker@${shaOf('lightgbm')}`, ...data)
    const [listed] = (await answerOf(place, 'models', 'list', ...data)) as Listed[]
    expect(listed).toMatchObject({ sha256: shaOf('lightgbm'), chunks: 2, featuresAreCurrent: true })
    expect(listed.promotedAt).not.toBeNull()
  })
})

/** Keys in order with the size of their values, as a client that is not freshet's sees them. */
async function keysOnTopic(setting: Setting): Promise<{ key: string; bytes: number }[]> {
  const topic = setting.topic('models')
  const [{ high }] = await setting.admin.fetchTopicOffsets(topic)
  const found: { key: string; bytes: number }[] = []
  const consumer = setting.kafka.consumer({ groupId: `${setting.name}-models` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer
      .run({
        eachMessage: async ({ message }) => {
          found.push({ key: String(message.key), bytes: message.value?.length ?? 0 })
          if (Number(message.offset) === Number(high) - 1) resolve()
        },
      })
      .catch(reject)
  })
  await consumer.disconnect()
  return found
}
