/** State is copied from a live application that goes on meanwhile; what goes on from the copy ends where live ends. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { ExactWorld, same } from '../../test/support/exact-world.ts'
import { simulatedRecords } from '../../test/support/simulated-log.ts'
import { pause } from '../../test/support/until.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import { ReplayFolder } from '../shadow/folder.ts'
import { type CopySettings, copyLive, copyReplay, type StateCopy } from './copy.ts'

const TOPOLOGIES = 'sessions,labels,popularity,covisit,drift,quality'
let world: ExactWorld
let settings: CopySettings

beforeAll(async () => {
  world = await ExactWorld.open(TOPOLOGIES)
  settings = settingsOf(TOPOLOGIES)
})
afterAll(() => world.close())

function settingsOf(topologies: string, partitions = 2): CopySettings {
  const application = createApplication({
    options: world.values,
    topologies: parseTopologies(topologies),
    schemas: world.registry,
    encoder: world.encoder,
    clock: systemClock,
  })
  const counts = application.kinds.map(
    kind => [kind.name, kind.inputs.length > 0 ? partitions : (kind.partitions ?? 1)] as const,
  )
  return { application, counts: new Map(counts) }
}

const copyOf = (name: string, from = settings) =>
  copyLive(world.live.transport, world.names, from, new ReplayFolder(world.data, name).stateDir)

describe('a copy of state', () => {
  it('C1: of a live application that runs is a consistent cut: what goes on from it ends as live does', async () => {
    const records = simulatedRecords(world.encoder, {
      events: 5_000,
      ratePerSecond: 10,
      // who is known in memory only is not copied
      contextual: 0,
      startTs: Date.now() - 600_000,
    })
    const sending = world.send(records, 100)
    const copies: { name: string; copy: StateCopy }[] = []
    for (let k = 0; k < 3; k++) {
      await pause(500)
      copies.push({ name: `copy${k}`, copy: await copyOf(`copy${k}`) })
    }
    await sending
    const expected = await world.atRest()
    for (const { name, copy } of copies) {
      const folder = await world.create(await world.spec(name, { state: 'live' }, copy), copy)
      expect(await world.run(folder)).toBe('done')
      expect(world.difference(expected, folder)).toEqual(same)
    }
    // some were made while something was under way, else this shows little
    expect(copies.some(({ copy }) => copy.checkpoint.packets.length > 0)).toBe(true)
    const positions = copies.map(({ copy }) => JSON.stringify([...copy.positions]))
    expect(new Set(positions).size).toBeGreaterThan(1)
  }, 120_000)

  it('keeps what the topologies of the replay keep, and is as live is where no record comes any more', async () => {
    const expected = await world.atRest()
    const topologies = 'sessions,popularity'
    const copy = await copyOf('fewer', settingsOf(topologies))
    const spec = await world.spec('fewer', { state: 'live', topologies }, copy)
    const folder = await world.create(spec, copy)
    expect(await world.run(folder)).toBe('done')
    for (const part of ['sessions', 'counts'])
      expect(world.difference(expected, folder, part)).toEqual(same)
    expect(world.difference(expected, folder, 'labels').more).toEqual([])
  }, 60_000)

  it('is refused where there is no state of a kind, and where it has other numbers of tasks', async () => {
    await expect(copyOf('learner', settingsOf(`${TOPOLOGIES},learner`))).rejects.toThrow(
      /no live state of learner tasks.*--state empty/,
    )
    await expect(copyOf('three', settingsOf(TOPOLOGIES, 3))).rejects.toMatchObject({
      code: 'PARTITION_COUNT',
      message: expect.stringMatching(/has 2 (user|item) tasks, this replay has 3/),
    })
  })

  it('of a replay goes on where it ended', async () => {
    const whole = await world.spec('first')
    const half = Object.entries(whole.ranges).map(
      ([topic, parts]) => [topic, parts.map(([, to]) => [0, Math.floor(to / 2)] as const)] as const,
    )
    const first = await world.create({ ...whole, ranges: Object.fromEntries(half) })
    await expect(
      copyReplay(first, settings, new ReplayFolder(world.data, 'second').stateDir),
    ).rejects.toThrow(/first is not at its end/)
    await world.run(first)
    const { stateDir } = new ReplayFolder(world.data, 'second')
    const copy = await copyReplay(first, settings, stateDir)
    const spec = await world.spec('second', { state: 'first' }, copy)
    const second = await world.create(spec, copy)
    await world.run(second)
    expect(world.difference(await world.atRest(), second)).toEqual(same)
  }, 60_000)
})
