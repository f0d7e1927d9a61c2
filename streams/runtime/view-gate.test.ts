/** Views of a state that catches up: nothing older than what readers have, and all of it once it has. */
import { expect, it } from 'vitest'
import { systemClock } from '../clock.ts'
import { silentLogger } from '../log.ts'
import type { ViewMark, ViewStore } from '../sinks.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import { ViewGate } from './view-gate.ts'

const json = (key: string): ViewWrite => ({ op: 'json', key, body: '}', ttlMs: 0 })
const mark: ViewMark = {
  ...{ task: 'user-0', through: '2', fromVersion: '', fromThrough: '1' },
  lost: () => undefined,
}

function behind(holds: () => boolean) {
  const written: { keys: string[]; version: string; marked: boolean }[] = []
  const views: ViewStore = {
    name: 'store',
    write: async (writes, version, given) => {
      written.push({ keys: writes.map(({ key }) => key), version, marked: given !== undefined })
    },
    waiting: () => 'the store since 12:00',
    close: async () => undefined,
  }
  let now = 0
  const waits: (() => void)[] = []
  const clock = {
    ...systemClock,
    now: () => now,
    sleep: (ms: number) =>
      new Promise<void>(resolve => {
        waits.push(() => {
          now += ms
          resolve()
        })
      }),
  }
  const gate = new ViewGate({
    views,
    mayGo: key => !key.startsWith('pop:'),
    caughtUp: async () => holds(),
    clock,
    log: silentLogger,
  })
  const pass = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await Promise.resolve()
    waits.shift()?.()
    for (let i = 0; i < 5; i++) await Promise.resolve()
  }
  return { gate, written, pass }
}

it('V1: lets only removals and changes of sets through until the state has caught up, and moves no mark', async () => {
  let isThere = false
  const { gate, written, pass } = behind(() => isThere)
  await gate.write(
    [
      json('topk:u'),
      { op: 'delete', key: 'session:u' },
      { op: 'delete', key: 'pop:5m' },
      { op: 'zadd', key: 'blocked', member: 'i', score: 1 },
      { op: 'string', key: 'pop:at', value: '1', ttlMs: 0 },
    ],
    'v1',
    mark,
  )
  await gate.write([json('topk:u')], 'v2', mark)
  await gate.write([], 'v2', mark)
  expect(written).toEqual([{ keys: ['session:u', 'blocked'], version: 'v1', marked: false }])
  expect(gate.waiting()).toBe('the store since 12:00')
  await pass()
  isThere = true
  await pass()
  await gate.write([json('topk:u')], 'v3', mark)
  expect(written).toHaveLength(1)
  await pass()
  await gate.write([json('topk:u')], 'v4', mark)
  expect(written.at(-1)).toEqual({ keys: ['topk:u'], version: 'v4', marked: true })
})

it('V2: stays open; one that is closed before never opens', async () => {
  let isThere = true
  const open = behind(() => isThere)
  await open.pass()
  isThere = false
  await open.gate.write([json('a')], 'v1', mark)
  expect(open.written).toHaveLength(1)
  const ended = behind(() => true)
  await ended.gate.close()
  await ended.pass()
  await ended.gate.write([json('a')], 'v1', mark)
  expect(ended.written).toEqual([])
})

it('V3: opens although a look failed', async () => {
  let looks = 0
  const { gate, written, pass } = behind(() => {
    if (++looks === 1) throw new Error('no leader')
    return true
  })
  for (let i = 0; i < 4; i++) await pass()
  await gate.write([json('a')], 'v1', mark)
  expect(written).toHaveLength(1)
})
