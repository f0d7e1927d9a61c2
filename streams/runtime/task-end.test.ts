/** How a task ends: let go, lost, dropped. */
import { describe, expect, it } from 'vitest'
import {
  changelogEnd,
  never,
  onFreshLogs,
  run,
  send,
  silentTables,
  transport,
  until,
  views,
} from '../../test/support/one-task.ts'
import { toyApplication } from '../../test/support/toy-application.ts'
import type { ViewStore } from '../sinks.ts'
import type { TaskKind } from '../topology/stage.ts'
import type { Transport } from '../transport/port.ts'

onFreshLogs()

describe('a task that ends', () => {
  it('lets go although the table store does not answer: its blocks stand in the changelog', async () => {
    await send('a')
    const { task } = run(views(), {
      tables: { ...silentTables, insert: () => never },
    })
    await until(async () => (await changelogEnd()) > 1, 'the first commit')
    await until(() => task.state === 'running', 'its effects')
    await task.close()
    expect(task.state).toBe('closed')
  })

  it('is lost, and says why, when its last commit can not be made', async () => {
    const kind = toyApplication().kinds[0] as TaskKind
    let broken = false
    const { task, lost } = run(views(), {
      kind: {
        ...kind,
        create: ctx => {
          const logic = kind.create(ctx)
          const flush = (): void => {
            if (broken) throw new Error('a bug')
          }
          return { ...logic, stages: [...logic.stages, { name: 'broken', flush }] }
        },
      },
    })
    await until(() => task.state === 'running', 'the start')
    broken = true
    await task.commitNow()
    expect(lost).toEqual([new Error('a bug')])
    await task.close()
  })

  it('is lost, and says why, when rows can not be stored for a reason that is no outage', async () => {
    const { lost } = run(views(), {
      tables: { ...silentTables, insert: () => Promise.reject(new TypeError('a bug')) },
    })
    await send('a')
    await until(async () => (await changelogEnd()) > 1, 'the first commit')
    await send('b')
    await until(() => lost.length > 0, 'the loss')
    expect(lost).toEqual([new TypeError('a bug')])
  })

  it('assigns no input once it is closed', async () => {
    let answer: () => void = () => undefined
    const asked = new Promise<void>(resolve => {
      answer = resolve
    })
    let waits = false
    const slow: Transport = Object.assign(Object.create(transport), {
      topics: Object.assign(Object.create(transport.topics), {
        offsets: async (at: Parameters<Transport['topics']['offsets']>[0]) => {
          if (at[0].topic === 't.text') {
            waits = true
            await asked
          }
          return transport.topics.offsets(at)
        },
      }),
    })
    const assigned: string[] = []
    const reader = transport.reader()
    const { task } = run(views(), {
      transport: slow,
      reader: Object.assign(Object.create(reader), {
        assign: ({ topic }: { topic: string }) => assigned.push(topic),
      }),
    })
    await until(() => waits, 'the question for offsets')
    await task.close()
    answer()
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(assigned).toEqual([])
  })
})

describe('C7: a task that is gone', () => {
  it('leaves no state in memory, though a store that is away still holds its last writes', async () => {
    const kind = toyApplication().kinds[0] as TaskKind
    const ended: unknown[] = []
    let asked = 0
    const counting: TaskKind = {
      ...kind,
      create: ctx => {
        const logic = kind.create(ctx)
        const delivered = (): void => {
          asked++
        }
        return { ...logic, stages: [...logic.stages, { name: 'asked', delivered }] }
      },
    }
    let answer: () => void = () => undefined
    const away: ViewStore = {
      ...views(),
      write: () =>
        new Promise(resolve => {
          answer = resolve
        }),
    }
    const { task } = run(away, { kind: counting, onLost: (_task, error) => ended.push(error) })
    await send('a')
    await until(() => task.state === 'committing', 'a commit whose views hang')
    task.drop()
    answer()
    await new Promise(resolve => setTimeout(resolve, 50))
    // the core that the write held had no stages left to tell
    expect(asked).toBe(0)
    expect(ended).toEqual([])
  })
})
