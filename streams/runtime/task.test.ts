import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toyApplication } from '../../test/support/toy-application.ts'
import { systemClock } from '../clock.ts'
import { silentLogger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { TableStore, ViewStore } from '../sinks.ts'
import type { TaskKind } from '../topology/stage.ts'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { LogReader, Transport } from '../transport/port.ts'
import { topicNames } from './names.ts'
import { Task, type TaskSurroundings } from './task.ts'
import { ensureInternalTopics, internalTopics } from './topics.ts'

const names = topicNames('t.', 1)
const counts = new Map([
  ['words', 1],
  ['totals', 2],
])
const never = new Promise<never>(() => undefined)
const silentTables: TableStore = {
  name: 'nowhere',
  insert: async () => undefined,
  waiting: () => undefined,
  close: async () => undefined,
}

let dir: string
let transport: Transport
const running: Harness[] = []

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'freshet-task-'))
  transport = await createEmbeddedTransport({ dir })
  await transport.topics.create([
    { topic: 't.text', partitions: 1, config: {} },
    { topic: 't.dead-letters', partitions: 1, config: {} },
  ])
  await ensureInternalTopics(transport.topics, internalTopics(toyApplication(), names, counts))
})

afterEach(async () => {
  for (const harness of running.splice(0)) await harness.abandon()
  await transport.close()
  rmSync(dir, { recursive: true, force: true })
})

/** A view store that remembers what it took; `away`: it answers nothing. */
function views(away = false): ViewStore & { readonly keys: string[] } {
  const keys: string[] = []
  return {
    name: 'views',
    keys,
    write: async writes => {
      if (away) return never
      for (const { key } of writes) keys.push(key)
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
}

interface Harness {
  readonly task: Task
  readonly lost: unknown[]
  /** Stops feeding it, as a process that is gone would. */
  abandon(): Promise<void>
}

/** Opens words-0 and feeds it as a worker does. */
function run(
  viewStore: ViewStore,
  over: Partial<TaskSurroundings> & { tables?: TableStore; kind?: TaskKind } = {},
): Harness {
  const { tables = silentTables, kind: given, ...surroundings } = over
  const kind = given ?? (toyApplication().kinds[0] as TaskKind)
  const reader: LogReader = surroundings.reader ?? transport.reader()
  const lost: unknown[] = []
  const task = new Task({ kind: kind.name, partition: 0 }, kind, {
    transport,
    outlets: {
      views: viewStore,
      tables,
      publisher: transport.publisher(),
      names,
      silent: new Set(),
    },
    clock: systemClock,
    log: silentLogger,
    metrics: noMetrics,
    generation: 1,
    writerDeadlineMs: 10_000,
    touchMs: 600_000,
    startAt: 'earliest',
    partitionsOf: name => counts.get(name) ?? 0,
    table: <T>() => undefined as T,
    tablesReady: async () => undefined,
    deltaPartitions: () => [0, 1].map(partition => ({ topic: names.deltas('totals'), partition })),
    wake: () => undefined,
    onLost: (_task, error) => lost.push(error),
    ...surroundings,
    reader,
  })
  let feeding = true
  const feed = async (): Promise<void> => {
    while (feeding) {
      task.step(5)
      for (const batch of await reader.poll(5)) task.accept(batch)
    }
  }
  const fed = feed()
  void task.open()
  const harness = {
    task,
    lost,
    abandon: async () => {
      feeding = false
      await reader.close()
      await fed
    },
  }
  running.push(harness)
  return harness
}

async function send(...words: string[]): Promise<void> {
  await transport.publisher().send(
    't.text',
    words.map(word => ({ key: Buffer.from(word), value: Buffer.from(word), partition: 0 })),
  )
}

const changelogEnd = async (): Promise<number> =>
  (await transport.topics.offsets([{ topic: names.changelog('words'), partition: 0 }]))[0].end

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 250; i++) {
    if (await holds()) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`${what} did not come true within 5 s`)
}

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

describe('C2: an owner that slept', () => {
  it('for longer than brokers are sure to know it writes no more', async () => {
    let jump = 0
    const { task, lost } = run(views(), {
      clock: { ...systemClock, now: () => systemClock.now() + jump },
    })
    await send('a')
    await until(async () => task.hasCommitted, 'the first commit')
    const end = await changelogEnd()
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
