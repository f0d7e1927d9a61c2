/** A replay's state takes the live one's place in one process, and what was before comes back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { lastCommit } from '../../streams/runtime/last-commit.ts'
import {
  cutting,
  eventually,
  expectAllCounted,
  journal,
  live,
  names,
  onFreshLive,
  replayed,
  settings,
  transport,
  Words,
} from '../../test/support/toy-cutover.ts'
import type { ReplayFolder } from '../shadow/folder.ts'
import { onward } from './cutover.ts'
import { rollBack } from './rollback.ts'
import { removeUpload, stateInUse } from './states.ts'

onFreshLive()

describe('a cutover', () => {
  it('goes on from the replay, and a rollback from what was before, with no word lost, doubled, or shown older', async () => {
    const words = new Words()
    await words.send(2_000)
    live.start()
    words.steadily()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    const report = await cutting(folder)
    expect(report).toMatchObject({
      generation: 2,
      state: { prefix: 't.replay.r.', generation: 1 },
      changed: true,
      hadWorkers: true,
    })
    expect(report.backMs).not.toBeNull()
    expect(report.rows).toBeGreaterThan(40)
    await sleep(300)
    await words.stop()
    await expectAllCounted(words)
    expect(live.generations).toEqual([1, 2])
    const versions = [...live.views.values()].map(({ version }) => version.slice(0, 6))
    expect(versions).toContain('000002')

    expect(await cutting(folder)).toMatchObject({ changed: false, generation: 2 })
    expect(stateInUse(await journal().read(), names, 'r')).toMatch(/^the state of r is live since/)

    await words.send(500)
    await eventually(() => expectAllCounted(words))
    const back = await rollBack(settings())
    expect(back).toMatchObject({ generation: 3, state: { prefix: 't.', generation: 1 } })
    expect(back.behind).toBeGreaterThan(500)
    // what the old state takes in again it shows again: only then it is where it was
    live.wentBack.length = 0
    await words.send(300)
    await eventually(() => {
      expect(Object.fromEntries(live.table?.sums ?? [])).toEqual(Object.fromEntries(words.sent))
    })
    expect(await rollBack(settings())).toMatchObject({ changed: false, generation: 3 })
    expect(stateInUse(await journal().read(), names, 'r')).toBeUndefined()
    expect(await removeUpload(transport, names, 'r', ['words', 'totals'])).toHaveLength(3)
  })

  it('goes again, and lets go of the state before the last', async () => {
    const words = new Words()
    await words.send(500)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    await cutting(await replayed('a'))
    expect((await transport.topics.describe(['t.g1.words-changelog'])).size).toBe(1)
    await words.send(500)
    await cutting(await replayed('b'))
    await expectAllCounted(words)
    const topics = ['t.g1.words-changelog', 't.replay.a.g1.words-changelog']
    expect([...(await transport.topics.describe(topics)).keys()]).toEqual([topics[1]])
    expect(stateInUse(await journal().read(), names, 'a')).toMatch(/is kept for a rollback/)
    expect(await rollBack(settings())).toMatchObject({
      generation: 4,
      state: { prefix: 't.replay.a.' },
    })
    await words.send(100)
    await eventually(() => {
      expect(Object.fromEntries(live.table?.sums ?? [])).toEqual(Object.fromEntries(words.sent))
    })
  })

  it('U3: takes tasks along that have committed and have no rows', async () => {
    const begin = systemClock.wall() - 60_000
    for (let i = 0; i < 4; i++)
      await transport.publisher().send('t.text', [
        {
          key: Buffer.from('k'),
          value: Buffer.from(`bad${i}`),
          timestamp: begin + i * 2_000,
          partition: 0,
        },
      ])
    live.start()
    await eventually(() => expect(live.members).toHaveLength(1))
    const folder = await replayed('r')
    expect(await cutting(folder)).toMatchObject({ changed: true, rows: 0 })
    const words = new Words()
    await words.send(300)
    await expectAllCounted(words)
    const found = await lastCommit(transport, {
      topic: 't.replay.r.g1.words-changelog',
      partition: 0,
    })
    expect(found?.number).toBeGreaterThan(1)
    expect(found?.positions.get('text')).toBeGreaterThanOrEqual(4)
  })

  it('that dies changes nothing: workers go on, and the next one begins anew', async () => {
    const words = new Words()
    await words.send(1_000)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    let calls = 0
    const dies = cutting(folder, {
      catchUp: async to => {
        if (++calls < 2) return
        await folder.extend(onward(folder.spec(), to) ?? {})
        throw new Error('killed')
      },
    })
    await expect(dies).rejects.toThrow('killed')
    await words.send(100)
    await expectAllCounted(words)
    expect((await journal().read()).current?.generation).toBe(1)
    expect(await cutting(folder)).toMatchObject({ generation: 2, changed: true })
    await words.send(100)
    await expectAllCounted(words)
  })

  it('that dies while it sets further ends to the replay reads up to them the next time', async () => {
    const words = new Words()
    await words.send(500)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    await words.send(500)
    await expectAllCounted(words)
    const files = folder as unknown as { put?(file: string, value: unknown): Promise<void> }
    const put = files.put?.bind(folder)
    let written = 0
    files.put = async (file, value) => {
      if (++written === 2) throw new Error('killed')
      await put?.(file, value)
    }
    await expect(cutting(folder)).rejects.toThrow('killed')
    delete files.put
    expect(await cutting(folder)).toMatchObject({ generation: 2, changed: true })
    expect(folder.checkpoint()?.counts.records).toBe(1_000)
  })

  it('O2: after a rollback takes in what the state before that had shown, however far it has come since', async () => {
    const words = new Words()
    await words.send(500)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    await cutting(folder)
    await words.send(500)
    await expectAllCounted(words)
    await live.stop()
    await rollBack(settings())
    const { shownFrom = {} } = (await journal().read()).current ?? {}
    await cutting(folder)
    const ends = folder.spec().ranges.text.map(([, end]) => end)
    expect(ends).toEqual(shownFrom.text)
  })

  it('O1: is given up where a worker does not let go, or comes back before the change', async () => {
    const words = new Words()
    await words.send(200)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    const stuck = Object.assign(Object.create(transport), { members: async () => ['stuck (h)'] })
    await expect(cutting(folder, { transport: stuck, holdMs: 2_500 })).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^stuck \(h\) did not leave the group within 2.5 s/),
    })
    await eventually(() => expect(live.members).toHaveLength(1))
    // the hold is over while the last records are caught up
    let calls = 0
    const late = cutting(folder, {
      holdMs: 4_000,
      catchUp: async () => {
        if (++calls === 2) await sleep(4_500)
      },
    })
    await expect(late).rejects.toMatchObject({
      code: 'WORKERS_RUNNING',
      message: expect.stringMatching(/^the hold of the workers ran out before cutover of r/),
    })
    await words.send(100)
    await expectAllCounted(words)
    expect((await journal().read()).current?.generation).toBe(1)
  })

  it.each([
    [
      'one that is not done',
      async (folder: ReplayFolder) => {
        const found = folder.checkpoint()
        if (found) await folder.putCheckpoint({ ...found, done: false })
      },
      /^replay r can't go live: it is not done/,
    ],
    [
      'one of other partitions',
      (folder: ReplayFolder) => folder.extend({ text: [[0, 9_999]] }),
      /^replay r can't go live: (it is not done|t\.text has 3 partitions)/,
    ],
  ])('refuses %s', async (_, change, message) => {
    await new Words().send(50)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(5))
    const folder = await replayed('r')
    await change(folder)
    await expect(cutting(folder)).rejects.toMatchObject({
      code: 'CALL_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('refuses to begin where nothing is live, and to go back where nothing was', async () => {
    await new Words().send(50)
    const folder = await replayed('r')
    await expect(cutting(folder)).rejects.toMatchObject({ code: 'CALL_INVALID' })
    await expect(rollBack(settings())).rejects.toMatchObject({
      code: 'CALL_INVALID',
      message: expect.stringMatching(/^there is nothing to go back to/),
    })
  })

  it('names what the log no longer has', async () => {
    const words = new Words()
    await words.send(300)
    live.start()
    await eventually(() => expect(live.views.size).toBeGreaterThan(10))
    const folder = await replayed('r')
    await words.send(300)
    await eventually(async () => {
      const found = await lastCommit(transport, { topic: 't.g1.words-changelog', partition: 0 })
      const [{ end }] = await transport.topics.offsets([{ topic: 't.text', partition: 0 }])
      expect(found?.positions.get('text')).toBe(end)
    })
    const [, end] = folder.spec().ranges.text[0]
    await transport.topics.trim({ topic: 't.text', partition: 0 }, end + 3)
    await expect(cutting(folder)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringContaining(`t.text-0: the replay ended at ${end}`),
    })
  })
})
