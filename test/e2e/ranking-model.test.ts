/**
 * A promoted model ranks the lists of a running worker: by scores that are recounted here from the log, with its sha256 in
 * the list; a model that gives NaN for what is really there is demoted, with an alert, and the one before goes on.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest'
import { featureNames } from '../../topologies/blend/features.ts'
import { checkModel } from '../../topologies/models/check.ts'
import { featureSet } from '../../topologies/models/features.ts'
import { type OnnxGraph, writeModel } from '../../topologies/models/onnx-format.ts'
import { openRuntime } from '../../topologies/models/onnxruntime.ts'
import { answerOf, endRuns, freshet, Run } from './command.ts'
import { writeLog } from './rating-log.ts'
import { eventually, Setting } from './setting.ts'

const FILMS = 30
const USERS = 40
const PATIENCE_MS = 120_000
/** Positives of film n: the first user to like it, and so on; film 0 has most. No two that are liked are liked equally. */
const likes = (film: number): number => Math.max(0, USERS - 2 * film - 1)
const film = (n: number): string => `f${n}`
const reader = 'reader'
const listKey = `topk:home:u:${reader}`
/** The feature .1 log(1 + positives), as float32. */
const popularityOf = (n: number): number => Math.fround(0.1 * Math.log(1 + likes(n)))

const graph = (changes: Partial<OnnxGraph>): Buffer =>
  writeModel({
    inputs: [{ name: 'item.positives', dims: ['n', 1] }],
    nodes: [{ operator: 'Mul', inputs: ['item.positives', 'weight'], outputs: ['score'] }],
    constants: [],
    outputs: [{ name: 'score', dims: ['n', 1] }],
    metadata: {},
    ...changes,
  })
const weight = (value: number) => ({ name: 'weight', dims: [], values: Float32Array.of(value) })
const models = {
  unpopular: graph({ constants: [weight(-10)] }),
  popular: graph({ constants: [weight(10)] }),
  /** sqrt((x - v)^2 - 1e-9), v the popularity of film 2: NaN there and nowhere near. */
  treacherous: graph({
    nodes: [
      { operator: 'Sub', inputs: ['item.positives', 'v'], outputs: ['off'] },
      { operator: 'Mul', inputs: ['off', 'off'], outputs: ['square'] },
      { operator: 'Sub', inputs: ['square', 'little'], outputs: ['less'] },
      { operator: 'Sqrt', inputs: ['less'], outputs: ['score'] },
    ],
    constants: [
      { name: 'v', dims: [], values: Float32Array.of(popularityOf(2)) },
      { name: 'little', dims: [], values: Float32Array.of(1e-9) },
    ],
  }),
}
type Name = keyof typeof models
const shaOf = (name: Name): string => createHash('sha256').update(models[name]).digest('hex')

interface List {
  readonly policy: string
  readonly model: string
  readonly items: readonly { readonly id: string; readonly score: number }[]
}

let setting: Setting
let run: Run
let events = 0

beforeAll(async () => {
  setting = await Setting.open()
  const begin = Math.floor(Date.now() / 1000) - 86_400
  const ratings = Array.from({ length: FILMS }, (_, n) =>
    Array.from({ length: likes(n) }, (_, u) => `u${u}::${film(n)}::9::${begin + u * 60 + n}`),
  ).flat()
  const films = Array.from({ length: FILMS }, (_, n) => `${film(n)}::Film ${n} (2020)::Drama`)
  const file = writeLog(join(setting.cwd, 'log'), ratings, films)
  await answerOf(setting, 'topics', 'create')
  await answerOf(setting, 'import', file, '--format', 'movietweetings')
  for (const [name, bytes] of Object.entries(models)) {
    const path = join(setting.cwd, `${name}.onnx`)
    writeFileSync(path, bytes)
    const { code, stdout, stderr } = await freshet(
      setting,
      'models',
      'push',
      path,
      '--name',
      'ranker',
      '--models.budgetMs',
      '1000',
    )
    expect(code, stdout + stderr).toBe(0)
  }
  const plain = [
    '--topk.temperature',
    '0',
    '--topk.mmr',
    '0',
    '--topk.fatigue',
    'false',
    '--topk.creatorCap',
    '0',
    '--topk.topicRun',
    '0',
  ]
  run = await new Run(setting, '--ranker', 'model:ranker', ...plain).ready()
  await setting.taken('events', 'items')
}, 300_000)

afterAll(async () => {
  await endRuns()
  await setting?.close()
})

const promote = (name: Name) => answerOf(setting, 'models', 'promote', `ranker@${shaOf(name)}`)

/** The reader does something that counts for nothing, and so has a new list. */
async function stir(): Promise<void> {
  const event = {
    type: 'impression',
    eventId: `stir-${++events}`,
    userId: reader,
    requestId: `stir-${events}`,
    itemId: film(FILMS - 1),
    ts: Date.now(),
    consent: 'full',
  }
  const messages = [{ key: reader, value: JSON.stringify(event) }]
  await setting.producer.send({ topic: setting.topic('events'), messages })
}

async function newList(): Promise<List> {
  await stir()
  await new Promise(resolve => setTimeout(resolve, 700))
  const text = (await setting.texts([listKey])).get(listKey)
  expect(text, 'the list of the reader').toBeDefined()
  return JSON.parse(text ?? '') as List
}

/** Scores by film as the model that is `times` popularity gives them; films of the catalog without a positive too. */
function expectRanked({ policy, model, items }: List, name: Name, times: number): void {
  expect(policy).toBe('ranker-greedy@1')
  expect(model).toBe(shaOf(name).slice(0, 12))
  expect(items.length).toBeGreaterThan(15)
  for (const { id, score } of items)
    expect(score, id).toBeCloseTo(times * popularityOf(Number(id.slice(1))), 2)
  const scores = items.map(({ score }) => score)
  expect(scores).toEqual([...scores].sort((a, b) => b - a))
}

it('ranks once it is promoted, then the next, and the one before where that is demoted', async () => {
  onTestFailed(() => console.error(run.output.slice(-5_000)))
  await eventually(async () => {
    const { policy, model } = await newList()
    expect(policy).toMatch(/^(mix|blend)-greedy@1$/)
    expect(model).toBe('')
  }, PATIENCE_MS)
  expect(run.output).toMatch(/no such model ranks yet/)

  await promote('unpopular')
  await eventually(async () => expectRanked(await newList(), 'unpopular', -10), PATIENCE_MS)
  await promote('popular')
  await eventually(async () => expectRanked(await newList(), 'popular', 10), PATIENCE_MS)

  await promote('treacherous')
  await eventually(async () => {
    await stir()
    expect(run.output).toMatch(/is demoted: it gives NaN for a candidate of a list/)
  }, PATIENCE_MS)
  await eventually(async () => expectRanked(await newList(), 'popular', 10), PATIENCE_MS)
  await eventually(async () => {
    const [{ high }] = await setting.admin.fetchTopicOffsets(setting.topic('alerts'))
    expect(Number(high), 'alerts').toBeGreaterThan(0)
  }, PATIENCE_MS)
  expect(await run.metrics()).toMatch(/freshet_model_demotions_total\{model="ranker"\} 1/)
}, 400_000)

/** Plays to the end: an item is learnt from once it is counted, so those of the log, all at once, teach nothing yet. */
async function watch(): Promise<void> {
  const messages = Array.from({ length: 100 }, (_, n) => {
    events++
    const event = {
      type: 'watch',
      eventId: `watch-${events}`,
      playId: `watch-${events}`,
      userId: `late${n}`,
      itemId: film(n % 10),
      ts: Date.now(),
      watchedMs: 100_000,
      durationMs: 100_000,
      endReason: 'finished',
      consent: 'full',
    }
    return { key: event.userId, value: JSON.stringify(event) }
  })
  await setting.producer.send({ topic: setting.topic('events'), messages })
}

it('the blend is exported as a model that would be taken, as float and as int8', async () => {
  const to = (precision: string): string => join(setting.cwd, `blend-${precision}.onnx`)
  await watch()
  await eventually(async () => {
    const found = await answerOf(setting, 'models', 'export', '--to', to('float'))
    expect(found).toMatchObject({ file: to('float'), 'positives learnt': expect.any(Number) })
  }, PATIENCE_MS)
  await answerOf(setting, 'models', 'export', '--int8', '--to', to('int8'))
  for (const precision of ['float', 'int8']) {
    const { refusals, features } = checkModel(readFileSync(to(precision)), {
      features: featureSet(),
      open: openRuntime(),
      maxBytes: 1 << 20,
      budgetMs: 1_000,
      elapsedMs: () => performance.now(),
    })
    expect(refusals, precision).toEqual([])
    expect(features.map(name => name.replace(/@\d+$/, ''))).toEqual(featureNames)
  }
}, 200_000)
