/** The shell of a task: what it shows, claims, touches and holds back. */
import { describe, expect, it } from 'vitest'
import {
  changelogEnd,
  onFreshLogs,
  run,
  send,
  transport,
  until,
  views,
} from '../../test/support/one-task.ts'
import { toyApplication } from '../../test/support/toy-application.ts'
import { systemClock } from '../clock.ts'
import type { TaskKind } from '../topology/stage.ts'
import type { Transport } from '../transport/port.ts'

onFreshLogs()

describe('C3: a task', () => {
  it('shows what its last batch held although two owners in a row are gone before it is shown', async () => {
    await send('a')
    const first = run(views(true))
    await until(async () => (await changelogEnd()) > 1, 'the first commit')
    await first.abandon()

    const before = await changelogEnd()
    await send('b')
    const second = run(views(true))
    await until(async () => (await changelogEnd()) > before, 'the second claim')
    // time enough to commit what stands open, which it may only do once `a` is shown
    await new Promise(resolve => setTimeout(resolve, 300))
    await second.abandon()

    const shown = views()
    run(shown)
    await until(() => shown.keys.includes('word:b'), 'the view of b')
    expect(shown.keys).toContain('word:a')
  })
})

describe('C2: a task', () => {
  it('that is revoked while it claims ends only once its claim has: no later owner is fenced by it', async () => {
    let release: () => void = () => undefined
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    let appending = false
    const slow: Transport = Object.assign(Object.create(transport), {
      writer: (identity: Parameters<Transport['writer']>[0]) => {
        const writer = transport.writer(identity)
        const append: typeof writer.append = async (at, batch) => {
          appending = true
          await held
          return writer.append(at, batch)
        }
        return Object.assign(Object.create(writer), { append })
      },
    })
    const { task } = run(views(), { transport: slow })
    await until(() => appending, 'the claim')
    let closed = false
    const closing = task.close().then(() => {
      closed = true
    })
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(closed).toBe(false)
    release()
    await closing
    expect(task.state).toBe('closed')
    const end = await changelogEnd()
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(await changelogEnd()).toBe(end)
  })

  it('that is idle touches its log, so that no broker forgets its producer id', async () => {
    const { task } = run(views(), { touchMs: 60 })
    await until(() => task.state === 'running', 'the start')
    await until(async () => (await changelogEnd()) >= 5, 'four touches')
  })
})

describe('C2: an owner that slept', () => {
  it('for longer than brokers are sure to know it writes no more', async () => {
    let jump = 0
    const { task, lost } = run(views(), {
      clock: { ...systemClock, now: () => systemClock.now() + jump },
    })
    await send('a')
    await until(async () => task.hasCommitted, 'the first commit')
    // a commit may be under way on a busy machine: what is asked is that none comes after the sleep
    let end = -1
    await until(async () => {
      const before = end
      await new Promise(resolve => setTimeout(resolve, 300))
      end = await changelogEnd()
      return end === before
    }, 'a changelog that rests')
    jump = 31 * 60_000
    await until(() => lost.length > 0, 'the loss')
    expect(lost[0]).toMatchObject({ code: 'FENCED' })
    expect(await changelogEnd()).toBe(end)
  })
})

describe('C7: a task', () => {
  it('takes in nothing and ticks no more while a full commit waits for the one before it', async () => {
    const kind = toyApplication().kinds[0] as TaskKind
    let ticks = 0
    const { task } = run(views(true), {
      kind: {
        ...kind,
        create: ctx => {
          const logic = kind.create(ctx)
          const tick = (): boolean => {
            ticks++
            return false
          }
          return { ...logic, stages: [...logic.stages, { name: 'ticking', tick }] }
        },
      },
    })
    await send('a')
    await until(() => task.state === 'committing', 'a commit whose views hang')
    const big = `bad${'x'.repeat(200_000)}`
    for (let i = 0; i < 4; i++) await send(...Array.from({ length: 5 }, () => big))
    // dead letters stand in the commit: some ten fill one
    let before = -1
    await until(async () => {
      const stands = ticks === before
      before = ticks
      await new Promise(resolve => setTimeout(resolve, 100))
      return stands
    }, 'a stop of the ticks')
    expect(ticks).toBeGreaterThan(0)
  })

  it('pauses its topics when what waits is large, however few records it is', async () => {
    const reader = transport.reader()
    const calls: string[] = []
    const { task, abandon } = run(views(true), {
      reader: Object.assign(Object.create(reader), {
        pause: () => calls.push('pause'),
        resume: () => calls.push('resume'),
      }),
    })
    await send('a')
    await until(() => task.state === 'committing', 'a commit that hangs')
    await abandon()
    const value = Buffer.from(`bad${'x'.repeat(1 << 20)}`)
    const records = Array.from({ length: 40 }, (_, n) => ({
      offset: 1 + n,
      timestamp: 0,
      key: null,
      value,
      headers: [],
    }))
    task.accept({
      topic: 't.text',
      partition: 0,
      baseOffset: 1,
      nextOffset: 41,
      producerId: -1n,
      producerEpoch: -1,
      records,
    })
    expect(calls).toEqual(['pause'])
    // dead letters are cut at 256 KB: eight fill a commit, and the one under way does not end
    task.step(50)
    expect(calls).toEqual(['pause'])
  })
})

describe('a first start at the latest record', () => {
  it('is remembered: what came while the task was away is not passed over', async () => {
    await send('old')
    const first = run(views(), { startAt: 'latest' })
    await until(async () => (await changelogEnd()) > 1, 'the first commit')
    await first.abandon()
    await send('new')
    const shown = views()
    run(shown, { startAt: 'latest' })
    await until(() => shown.keys.length > 0, 'a view')
    expect(shown.keys).toEqual(['word:new'])
  })
})
