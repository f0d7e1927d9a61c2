/**
 * The toy application in processes of its own, and a stream of words for it whose sums are known: the smallest setting with
 * the whole protocol, for faults that need more of a hand in it than `freshet run` gives.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { silentLogger } from '../../../streams/log.ts'
import { noMetrics } from '../../../streams/metrics.ts'
import { Follower } from '../../../streams/runtime/follower.ts'
import { type TopicNames, topicNames } from '../../../streams/runtime/names.ts'
import { createKafkaTransport } from '../../../streams/transport/kafka/index.ts'
import type { Publisher, Transport } from '../../../streams/transport/port.ts'
import { uniqueName } from '../services.ts'
import { type TotalsTable, toyApplication } from '../toy-application.ts'
import { intrusions } from './read-state.ts'

const program = join(import.meta.dirname, '../toy-worker.ts')
const PATIENCE_MS = 90_000

export class ToyWorker {
  readonly child: ChildProcess
  private text = ''
  private readonly exited: Promise<number | null>

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, ['--import', 'tsx', program, ...args])
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', chunk => {
        this.text += chunk
      })
    this.exited = new Promise(resolve => this.child.once('close', code => resolve(code)))
  }

  get output(): string {
    return this.text
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** SIGTERM; gives its exit code. */
  stop(): Promise<number | null> {
    this.child.kill('SIGTERM')
    return this.exited
  }
}

export class ToyStream {
  readonly transport: Transport
  readonly names: TopicNames
  private readonly brokers: string
  private readonly prefix: string
  private readonly publisher: Publisher
  private readonly workers: ToyWorker[] = []
  private readonly expected = new Map<string, number>()
  private readonly follower: Follower
  private table: TotalsTable | undefined
  private sent = 0

  private constructor(brokers: string, prefix: string, transport: Transport) {
    this.brokers = brokers
    this.prefix = prefix
    this.transport = transport
    this.names = topicNames(prefix, 1)
    this.publisher = transport.publisher()
    const [spec] = toyApplication(made => {
      this.table = made
    }).tables
    this.follower = new Follower(spec, {
      transport,
      names: this.names,
      partitionsOf: () => 2,
      now: Date.now,
      metrics: noMetrics,
      log: silentLogger,
      onFailure: error => {
        throw error
      },
    })
  }

  static async open(brokers: string): Promise<ToyStream> {
    const prefix = `${uniqueName('toy')}.`
    const names = topicNames(prefix, 1)
    const transport = await createKafkaTransport({ brokers: [brokers], clientId: 'test' })
    await transport.topics.create([
      { topic: names.outside('text'), partitions: 3, config: {} },
      { topic: names.outside('dead-letters'), partitions: 1, config: {} },
    ])
    return new ToyStream(brokers, prefix, transport)
  }

  start(...args: string[]): ToyWorker {
    const worker = new ToyWorker([this.brokers, this.prefix, ...args])
    this.workers.push(worker)
    return worker
  }

  async send(count: number): Promise<void> {
    const words = Array.from({ length: count }, () => `w${(this.sent++ * 7919) % 211}`)
    for (const word of words) this.expected.set(word, (this.expected.get(word) ?? 0) + 1)
    await this.publisher.send(
      this.names.outside('text'),
      words.map(word => ({ key: Buffer.from(word), value: Buffer.from(word) })),
    )
  }

  private get sums(): Map<string, number> {
    return (this.table as TotalsTable).sums
  }

  private get total(): number {
    return [...this.sums.values()].reduce((a, b) => a + b, 0)
  }

  /** Waits until all that was sent is summed. */
  async caughtUp(): Promise<void> {
    for (let waitedMs = 0; waitedMs < PATIENCE_MS && this.total < this.sent; waitedMs += 100)
      await sleep(100)
    if (this.total < this.sent) expect(this.total, this.output).toBe(this.sent)
  }

  /** Every word's sum equals the recount, and no changelog holds what a fenced owner wrote. */
  async expectExact(): Promise<void> {
    await this.caughtUp()
    await sleep(1_000) // time for a double to show
    expect(this.total, this.output).toBe(this.sent)
    expect(this.sums).toEqual(this.expected)
    for (const kind of ['words', 'totals'])
      expect(await intrusions(this.transport, this.names.changelog(kind))).toEqual([])
  }

  get output(): string {
    return this.workers.map(({ child, output }) => `-- ${child.pid}\n${output}`).join('\n')
  }

  async close(): Promise<void> {
    for (const worker of this.workers) worker.signal('SIGKILL')
    await this.follower.close()
    await this.publisher.close()
    await this.transport.close()
  }
}
