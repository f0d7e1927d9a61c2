/** One task of the toy application on the embedded log, fed as a worker feeds it; for tests of a task's shell. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { Task, type TaskSurroundings } from '../../streams/runtime/task.ts'
import { ensureInternalTopics, internalTopics } from '../../streams/runtime/topics.ts'
import type { TableStore, ViewStore } from '../../streams/sinks.ts'
import type { TaskKind } from '../../streams/topology/stage.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import type { LogReader, Transport } from '../../streams/transport/port.ts'
import { toyApplication } from './toy-application.ts'

const names = topicNames('t.', 1)
const counts = new Map([
  ['words', 1],
  ['totals', 2],
])
export const never = new Promise<never>(() => undefined)
export const silentTables: TableStore = {
  name: 'nowhere',
  insert: async () => undefined,
  waiting: () => undefined,
  close: async () => undefined,
}

let dir: string
export let transport: Transport
const running: Harness[] = []

/** Call it at the head of a test file: each test has a log of its own. */
export function onFreshLogs(): void {
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
}

/** A view store that remembers what it took; `away`: it answers nothing. */
export function views(away = false): ViewStore & { readonly keys: string[] } {
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
export function run(
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

export async function send(...words: string[]): Promise<void> {
  await transport.publisher().send(
    't.text',
    words.map(word => ({ key: Buffer.from(word), value: Buffer.from(word), partition: 0 })),
  )
}

export const changelogEnd = async (): Promise<number> =>
  (await transport.topics.offsets([{ topic: names.changelog('words'), partition: 0 }]))[0].end

export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 250; i++) {
    if (await holds()) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`${what} did not come true within 5 s`)
}
