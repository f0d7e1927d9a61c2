/** The exact parts of live on a real broker, whose cleaner works hard, and of replays of its topics and of copies of its state. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ReplayFolder } from '../replay/shadow/folder.ts'
import { copyLive, type StateCopy } from '../replay/state-copy/copy.ts'
import { systemClock } from '../streams/clock.ts'
import { createApplication, parseTopologies } from '../topologies/main.ts'
import { ExactWorld, same } from './support/exact-world.ts'
import { kafkaBrokers, uniqueName } from './support/services.ts'
import { simulatedRecords } from './support/simulated-log.ts'
import { pause } from './support/until.ts'

const TOPOLOGIES = 'sessions,labels,popularity,drift'
let world: ExactWorld

beforeAll(async () => {
  world = await ExactWorld.open(TOPOLOGIES, 2, {
    'kafka.brokers': await kafkaBrokers(),
    'topics.prefix': `${uniqueName('exact')}.`,
    'application.id': uniqueName('exact'),
  })
}, 120_000)
afterAll(() => world?.close())

it('on Kafka are those of live, of a whole replay and of one that goes on from a copy of the running state', async () => {
  const application = createApplication({
    options: world.values,
    topologies: parseTopologies(TOPOLOGIES),
    schemas: world.registry,
    encoder: world.encoder,
    clock: systemClock,
  })
  const counts = new Map(
    application.kinds.map(kind => [kind.name, kind.inputs.length > 0 ? 2 : (kind.partitions ?? 1)]),
  )
  const records = simulatedRecords(world.encoder, {
    events: 4_000,
    ratePerSecond: 10,
    contextual: 0,
    startTs: Date.now() - 500_000,
  })
  // tasks make their topics at their first start
  await world.send(records.slice(0, 500))
  await world.atRest()
  const sending = world.send(records.slice(500), 200)
  const copies: { name: string; copy: StateCopy }[] = []
  for (const name of ['one', 'two']) {
    await pause(500)
    const { stateDir } = new ReplayFolder(world.data, name)
    const { transport } = world.live
    copies.push({
      name,
      copy: await copyLive(transport, world.names, { application, counts }, stateDir),
    })
  }
  await sending
  const expected = await world.atRest()
  expect(expected.size).toBeGreaterThan(500)
  const whole = await world.create(await world.spec('whole'))
  expect(await world.run(whole)).toBe('done')
  expect(world.difference(expected, whole)).toEqual(same)
  for (const { name, copy } of copies) {
    const folder = await world.create(await world.spec(name, { state: 'live' }, copy), copy)
    expect(await world.run(folder)).toBe('done')
    expect(world.difference(expected, folder)).toEqual(same)
  }
}, 180_000)
