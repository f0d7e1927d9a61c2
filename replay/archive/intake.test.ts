import { writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import type { FetchedBatch, LogReader } from '../../streams/transport/port.ts'
import { newFolder, removeFolders } from '../../test/support/archived-log.ts'
import { Intake } from './intake.ts'
import { takeLock } from './lock.ts'

afterEach(removeFolders)

const batch = (partition: number, offset: number, timestamps: number[]): FetchedBatch => ({
  topic: 't',
  partition,
  baseOffset: offset,
  nextOffset: offset + timestamps.length,
  producerId: -1n,
  producerEpoch: 0,
  records: timestamps.map((timestamp, i) => ({
    offset: offset + i,
    timestamp,
    key: null,
    value: null,
    headers: [],
  })),
})

function stubReader(polls: FetchedBatch[][]): LogReader {
  return {
    assign() {},
    unassign() {},
    pause() {},
    resume() {},
    poll: async () => polls.shift() ?? [],
    highWatermark: () => undefined,
    async close() {},
  }
}

describe('what is taken from the log', () => {
  const at = (partition: number) => ({ topic: 't', partition })
  const never = () => false
  const always = () => true

  it('waits for a partition that has more, until an open transaction holds it back for too long', async () => {
    let now = 0
    const clock = { ...systemClock, now: () => now }
    const reader = stubReader([[batch(0, 0, [10, 30])], [batch(1, 0, [20])], [], []])
    const partitions = [
      { at: at(0), start: 0, end: 2 },
      { at: at(1), start: 0, end: 5 },
    ]
    const intake = new Intake(reader, partitions, { clock, follow: false })
    const taken: number[] = []
    const take = () => intake.take((_, record) => taken.push(record.timestamp), always)
    await intake.poll(0, never)
    take()
    expect(taken).toEqual([])
    await intake.poll(0, never)
    take()
    // 30 must not go before what partition 1 may have yet
    expect(taken).toEqual([10, 20])
    now = 9_000
    await intake.poll(0, never)
    take()
    expect([taken.length, intake.isDone]).toEqual([2, false])
    now = 11_000
    await intake.poll(0, never)
    take()
    expect(taken).toEqual([10, 20, 30])
    expect(intake.isDone).toBe(true)
    expect(intake.heldBack()).toEqual([{ at: at(1), taken: 1, end: 5 }])
    expect(intake.positions()).toEqual([2, 1])
  })

  it('waits without limit while brokers are away', async () => {
    let now = 0
    const clock = { ...systemClock, now: () => now }
    const intake = new Intake(stubReader([]), [{ at: at(0), start: 0, end: 5 }], {
      clock,
      follow: false,
    })
    for (now = 0; now < 100_000; now += 8_000) await intake.poll(0, always)
    expect(intake.isDone).toBe(false)
  })
})

describe('the lock', () => {
  const refusal = (dir: string): string => {
    try {
      takeLock(dir, 'archive')()
      return 'taken'
    } catch (error) {
      return String(error)
    }
  }
  const lockOf = (dir: string, owner: object): void =>
    writeFileSync(join(dir, 'lock'), JSON.stringify({ work: 'archive', startedAt: '', ...owner }))

  it('is one process at a time, taken over from the dead, never from another machine', () => {
    const dir = newFolder()
    const release = takeLock(dir, 'archive')
    expect(refusal(dir)).toContain(`being written by process ${process.pid} on ${hostname()}`)
    release()
    expect(refusal(dir)).toBe('taken')
    lockOf(dir, { pid: 2 ** 22 + 1, host: hostname() })
    expect(refusal(dir)).toBe('taken')
    // the number lives, but is another process by now
    lockOf(dir, { pid: process.pid, host: hostname(), startedAt: '1' })
    expect(refusal(dir)).toBe('taken')
    lockOf(dir, { pid: 1, host: 'elsewhere' })
    expect(refusal(dir)).toMatch(/process 1 on elsewhere \(archive\): .* remove .*lock/)
    writeFileSync(join(dir, 'lock'), 'x')
    expect(refusal(dir)).toMatch(/is no lock of freshet's/)
  })
})
