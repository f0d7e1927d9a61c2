/** What stands on the topic of experiments, as a worker follows it and a command looks at it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Encoder, type Experiment, SchemaRegistry } from '../schemas/index.ts'
import { systemClock } from '../streams/clock.ts'
import { silentLogger } from '../streams/log.ts'
import { resolveOptions } from '../streams/options.ts'
import { createEmbeddedTransport } from '../streams/transport/embedded/index.ts'
import { allOptions } from './all-options.ts'
import { namesOf } from './compose.ts'
import { followExperiments, lookAtExperiments } from './experiments-topic.ts'
import { outsideTopicSpecs } from './topics.ts'

const { values } = resolveOptions(allOptions, { flags: {}, environment: {}, file: {} })
const names = namesOf(values)
const registry = new SchemaRegistry({ url: 'mock://experiments-topic', log: silentLogger })
let encoder: Encoder
beforeAll(async () => {
  encoder = await Encoder.open(registry, 'freshet.')
})
afterAll(() => registry.close())

const experiment = (name: string, more: Partial<Experiment> = {}): Experiment => ({
  experiment: name,
  salt: '',
  arms: ['a', 'b'].map(arm => ({ name: arm, share: 0.5, overrides: {} })),
  control: 'a',
  metrics: [],
  guardrails: {},
  start: 0,
  end: null,
  ...more,
})

function topic() {
  const transport = createEmbeddedTransport({ memory: true })
  const at = { transport, names, registry, clock: systemClock, log: silentLogger }
  const send = async (key: string, value: Buffer | null) => {
    const publisher = transport.publisher()
    await publisher.send(names.outside('experiments'), [{ key: Buffer.from(key), value }])
    await publisher.close()
  }
  return {
    at,
    make: () => transport.topics.create(outsideTopicSpecs(names, 1)),
    put: (of: Experiment, key = of.experiment) => send(key, encoder.encode('Experiment', of)),
    send,
  }
}

const namesIn = (book: { all(): readonly { name: string }[] }) => book.all().map(({ name }) => name)

const eventually = async (isSo: () => boolean) => {
  for (let n = 0; n < 200 && !isSo(); n++) await systemClock.sleep(25)
  expect(isSo()).toBe(true)
}

it('is looked at as it stands, without what can not run; the built-in one alone before there is a topic', async () => {
  const { at, make, put, send } = topic()
  expect(namesIn(await lookAtExperiments(at, values))).toEqual(['exploration'])
  await make()
  await put(experiment('rank7'))
  await put(experiment('other'), 'key')
  await put(experiment('no-control', { control: 'z' }))
  await put(experiment('broken'))
  await send('broken', Buffer.from('{}'))
  await put(experiment('gone'))
  await send('gone', null)
  expect(namesIn(await lookAtExperiments(at, values))).toEqual(['exploration', 'rank7'])
  await at.transport.close()
})

it('is followed from its start and on, also where it is made later', async () => {
  const { at, make, put, send } = topic()
  const { book, close } = await followExperiments(at, values)
  expect(namesIn(book)).toEqual(['exploration'])
  await make()
  await put(experiment('rank7'))
  await eventually(() => book.get('rank7') !== undefined)
  const { version } = book
  await put(experiment('rank7', { end: 7 }))
  await eventually(() => book.get('rank7')?.end === 7)
  expect(book.version).toBeGreaterThan(version)
  await send('rank7', null)
  await eventually(() => book.get('rank7') === undefined)
  await close()
  const again = await followExperiments(at, values)
  expect(namesIn(again.book)).toEqual(['exploration'])
  await again.close()
  await at.transport.close()
})
