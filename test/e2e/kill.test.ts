/** C1-C4 on a real broker: workers that are killed -9 again and again lose nothing and double nothing. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { Follower } from '../../streams/runtime/follower.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { kafkaBrokers, uniqueName } from '../support/services.ts'
import { type TotalsTable, toyApplication } from '../support/toy-application.ts'

const program = join(import.meta.dirname, '../support/toy-worker.ts')
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

function startProcess(
  brokers: string,
  prefix: string,
): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, ['--import', 'tsx', program, brokers, prefix])
  let output = ''
  child.stdout?.on('data', chunk => {
    output += chunk
  })
  child.stderr?.on('data', chunk => {
    output += chunk
  })
  return { child, output: () => output }
}

describe('workers killed -9 in mid-stream', () => {
  it('leave sums that equal the recount, through changelogs, deltas and their fences', async () => {
    const brokers = await kafkaBrokers()
    const prefix = `${uniqueName('kill')}.`
    const names = topicNames(prefix, 1)
    const transport = await createKafkaTransport({ brokers: [brokers], clientId: 'test' })
    await transport.topics.create([
      { topic: names.outside('text'), partitions: 3, config: {} },
      { topic: names.outside('dead-letters'), partitions: 1, config: {} },
    ])
    const publisher = transport.publisher()
    const expected = new Map<string, number>()
    let sent = 0
    const send = async (count: number): Promise<void> => {
      const words = Array.from({ length: count }, () => `w${(sent++ * 7919) % 211}`)
      for (const word of words) expected.set(word, (expected.get(word) ?? 0) + 1)
      await publisher.send(
        names.outside('text'),
        words.map(word => ({ key: Buffer.from(word), value: Buffer.from(word) })),
      )
    }

    let survivor = startProcess(brokers, prefix)
    for (let round = 0; round < 6; round++) {
      const doomed = startProcess(brokers, prefix)
      for (let i = 0; i < 20; i++) {
        await send(200)
        await sleep(60 + ((round * 37) % 100))
      }
      // in turn the younger, the older, or both at once
      doomed.child.kill('SIGKILL')
      if (round % 2 === 1) {
        survivor.child.kill('SIGKILL')
        survivor = startProcess(brokers, prefix)
      }
    }

    let table: TotalsTable | undefined
    const [spec] = toyApplication(made => {
      table = made
    }).tables
    const follower = new Follower(spec, {
      transport,
      names,
      partitionsOf: () => 2,
      now: Date.now,
      metrics: noMetrics,
      log: silentLogger,
      onFailure: error => {
        throw error
      },
    })
    const sums = (): Map<string, number> => (table as TotalsTable).sums
    const total = (): number => [...sums().values()].reduce((a, b) => a + b, 0)
    for (let i = 0; i < 600 && total() < sent; i++) await sleep(100)
    await sleep(1_000) // time for a double to show
    expect(total(), survivor.output()).toBe(sent)
    expect(sums()).toEqual(expected)
    survivor.child.kill('SIGTERM')
    const code = await new Promise(resolve => survivor.child.once('exit', resolve))
    expect(code, survivor.output()).toBe(0)
    await follower.close()
    await publisher.close()
    await transport.close()
  }, 180_000)
})
