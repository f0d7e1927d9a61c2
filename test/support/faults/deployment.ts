/**
 * What every fault run needs: services of its own that may be killed, `freshet run` processes, a story sent to them at a
 * steady pace, and the comparison of all that came of it with the tally, exactly.
 *
 *   const deployment = await FaultDeployment.open()
 *   const run = await deployment.run()
 *   const telling = deployment.tell({ perSecond: 400 })
 *   ... faults ...
 *   await telling.stop()
 *   await deployment.expectAllEqual()
 *   await deployment.close()
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { createKafkaTransport } from '../../../streams/transport/kafka/index.ts'
import type { OutsideRecord, Publisher, Transport } from '../../../streams/transport/port.ts'
import { answerOf, endRuns, Run } from '../../e2e/command.ts'
import { expectCounts, expectSessionFields } from '../../e2e/expectations.ts'
import { keyOn, PARTITIONS } from '../../e2e/producers.ts'
import { eventually, Setting } from '../../e2e/setting.ts'
import { type KafkaOptions, type KafkaService, startKafka } from '../kafka.ts'
import { type RedisService, startRedis } from '../services-redis.ts'
import { allRecords, intrusions, itemTotals } from './read-state.ts'
import { Story, type StoryOptions } from './story.ts'
import { type StoryEvent, Tally } from './tally.ts'
import { type VersionWatch, watchVersions } from './versions.ts'

/** A killed worker's tasks are free after this. */
export const SESSION_TIMEOUT_MS = 6_000
const HOUR_MS = 3_600_000
const PATIENCE_MS = 180_000

export interface FaultOptions {
  readonly story?: StoryOptions
  readonly kafka?: KafkaOptions
  /** In front of the services: proxies, or services with a life of their own. */
  readonly brokers?: string
  readonly redisUrl?: string
  readonly clickhouse?: boolean
  /** Options of every `freshet` call, as variables. */
  readonly variables?: Readonly<Record<string, string>>
}

export interface Telling {
  /** Events sent since this telling began. */
  readonly sent: () => number
  /** Resolves once so many more are sent. */
  more(events: number): Promise<void>
  /** Ends it; what was sent is acknowledged then. */
  stop(): Promise<void>
}

export class FaultDeployment {
  readonly setting: Setting
  readonly story: Story
  readonly tally = new Tally()
  /** Undefined where `brokers` or `redisUrl` were given. */
  readonly kafka: KafkaService | undefined
  readonly redis: RedisService | undefined
  readonly versions: VersionWatch
  /** Of the state in force, without the prefix; undefined: of generation 1. */
  itemChangelog: string | undefined
  private readonly transport: Transport
  private readonly publisher: Publisher
  /** Hex of a bad record's value -> the code it must get. */
  private readonly poison = new Map<string, RegExp>()

  private constructor(parts: {
    setting: Setting
    story: Story
    kafka: KafkaService | undefined
    redis: RedisService | undefined
    transport: Transport
  }) {
    this.setting = parts.setting
    this.story = parts.story
    this.kafka = parts.kafka
    this.redis = parts.redis
    this.transport = parts.transport
    this.publisher = parts.transport.publisher()
    const { redisUrl, name } = parts.setting
    this.versions = watchVersions(redisUrl, `${name}:`, parts.story.users)
  }

  /** Starts services and makes the topics; no worker yet. */
  static async open(options: FaultOptions = {}): Promise<FaultDeployment> {
    const [kafka, redis] = await Promise.all([
      options.brokers ? undefined : startKafka(options.kafka),
      options.redisUrl ? undefined : startRedis(),
    ])
    const brokers = options.brokers ?? (kafka as KafkaService).brokers
    const setting = await Setting.open({
      clickhouse: options.clickhouse,
      brokers,
      redisUrl: options.redisUrl ?? redis?.url,
      variables: { FRESHET_KAFKA_SESSION_TIMEOUT: `${SESSION_TIMEOUT_MS}ms`, ...options.variables },
    })
    await answerOf(setting, 'topics', 'create', '--topics.partitions', String(PARTITIONS))
    const transport = await createKafkaTransport({
      brokers: brokers.split(','),
      clientId: 'story',
      waitMs: 30_000,
    })
    return new FaultDeployment({
      setting,
      story: new Story(options.story),
      kafka,
      redis,
      transport,
    })
  }

  /** `freshet run`, ready. Several of them are several processes of one application. */
  run(...args: string[]): Promise<Run> {
    const at = args.indexOf('--workers')
    return this.begin(...args).ready(at < 0 ? 1 : Number(args[at + 1]))
  }

  /** `freshet run`, not yet ready. */
  begin(...args: string[]): Run {
    return new Run(this.setting, ...args)
  }

  /** Sends the story on at a pace until it is stopped. One request at a time: the order of sending is that of the log. */
  tell({ perSecond = 400 }: { perSecond?: number } = {}): Telling {
    let going = true
    let sent = 0
    const topic = this.setting.topic('events')
    const everyMs = 50
    const beginning = Date.now()
    let behind = 0
    const telling = (async () => {
      while (going) {
        // an outage is not made up for: the pace afterwards is the pace before
        const due = Math.floor(((Date.now() - beginning) / 1000) * perSecond) - behind - sent
        const count = Math.min(due, Math.ceil((perSecond * everyMs) / 1000) * 4)
        behind += due - count
        if (count > 0) await this.publisher.send(topic, this.records(count))
        sent += Math.max(0, count)
        await sleep(everyMs)
      }
    })()
    telling.catch(() => undefined)
    return {
      sent: () => sent,
      more: async events => {
        const to = sent + events
        while (sent < to) await Promise.race([sleep(20), telling])
      },
      stop: () => {
        going = false
        return telling
      },
    }
  }

  private records(count: number): OutsideRecord[] {
    return Array.from({ length: count }, () => {
      const told = this.story.next()
      if ('event' in told) return this.recordOf(told.event)
      const { key, value, partition, code } = told.poison
      this.poison.set(value.toString('hex'), code)
      return { key, value, partition }
    })
  }

  private recordOf(event: StoryEvent): OutsideRecord {
    this.tally.take(event)
    return { key: Buffer.from(event.userId), value: Buffer.from(JSON.stringify(event)) }
  }

  /** Waits until all that was sent is taken in and committed. */
  async caughtUp(patienceMs = PATIENCE_MS): Promise<void> {
    await eventually(async () => {
      expect(await this.setting.lag('events'), 'records behind the end').toBe(0)
    }, patienceMs)
  }

  /**
   * Everything that can be seen from outside equals the tally: sessions, popularity sets, all-time counts of the item tasks
   * (the sum of all deltas), dead letters; and no version in Redis went back.
   */
  async expectAllEqual(patienceMs = PATIENCE_MS): Promise<void> {
    const { setting, tally } = this
    await this.caughtUp(patienceMs)
    await eventually(() => expectSessionFields(setting, tally.sessions()), patienceMs)
    await eventually(async () => this.expectItemTotals(), patienceMs)
    await eventually(() => expectCounts(setting, tally.positives, tally.newestAt), patienceMs)
    await eventually(() => this.expectDeadLetters(), patienceMs)
    expect(this.versions.reads(), 'versions read by the watch').toBeGreaterThan(0)
    expect(await this.versions.stop()).toEqual([])
  }

  /** The item tasks' own counts, read off their changelog: sums over all users of what their deltas said. */
  private async expectItemTotals(): Promise<void> {
    const found = await itemTotals(this.transport, this.setting, this.itemChangelog)
    const wrong = [...this.tally.items].filter(
      ([item, totals]) => JSON.stringify(found.get(item)) !== JSON.stringify(totals),
    )
    const shown = wrong.slice(0, 3).map(([item, is]) => ({ item, is, found: found.get(item) }))
    expect(shown, `${wrong.length} of ${this.tally.items.size} items are wrong`).toEqual([])
    expect(found.size, 'items counted').toBe(this.tally.items.size)
  }

  /**
   * C2 as the log shows it: on every changelog the epochs of a producer id only rise, and so do the numbers of commits;
   * nothing that an older owner wrote stands behind a newer one's record.
   */
  async expectOneWriter(): Promise<void> {
    const topics = await this.setting.admin.listTopics()
    const changelogs = topics.filter(name => name.endsWith('-changelog'))
    expect(changelogs.length, 'changelogs').toBeGreaterThan(3)
    for (const topic of changelogs)
      expect(await intrusions(this.transport, topic), topic).toEqual([])
  }

  /** Exactly the bad records that stand in the log, each by its place and code; a repeated letter is the same letter. */
  private async expectDeadLetters(): Promise<void> {
    const expected = new Map<string, RegExp>()
    const topic = this.setting.topic('events')
    for await (const { partition, record } of allRecords(this.transport, topic, PARTITIONS)) {
      if (this.poison.size === 0) break
      const code = record.value && this.poison.get(record.value.toString('hex'))
      if (code) expected.set(`${partition}@${record.offset}`, code)
    }
    expect(expected.size, 'bad records in the log').toBe(this.poison.size)
    const found = new Map(
      (await this.setting.deadLetters()).map(({ headers }) => [
        `${headers.partition}@${headers.offset}`,
        headers.code,
      ]),
    )
    const wrong = [...found].filter(([place, code]) => !expected.get(place)?.test(code))
    expect(wrong, 'dead letters nobody expected').toEqual([])
    expect(
      [...expected.keys()].filter(place => !found.has(place)),
      'missing letters',
    ).toEqual([])
  }

  /**
   * ClickHouse, where it is on: one example an impression with its final label, and the histograms of positions add up to
   * the impressions. Closes all windows and labels first, by an impression hours later on each partition: after this
   * the popularity sets are those of another time.
   */
  async expectTablesEqual(patienceMs = PATIENCE_MS): Promise<void> {
    const { setting, tally } = this
    const labels = [...tally.labels.values()]
    const { impressions } = tally
    const later = Array.from({ length: PARTITIONS }, (_, partition) => this.closing(partition))
    await this.publisher.send(
      setting.topic('events'),
      later.map(event => this.recordOf(event)),
    )
    await eventually(async () => {
      const rows = await setting.rows<Record<string, unknown>>(
        `SELECT toUInt32(count()) AS n, toUInt32(countIf(label = 1)) AS positive, toUInt32(countIf(label = 0)) AS negative
         FROM freshet.v_examples WHERE NOT startsWith(request, 'closing')`,
      )
      const positive = labels.filter(label => label === 1).length
      const negative = labels.length - positive
      expect(rows).toEqual([{ n: labels.length, positive, negative }])
    }, patienceMs)
    await eventually(async () => {
      const rows = await setting.rows<{ n: number }>(
        `SELECT toUInt32(sum(n)) AS n FROM freshet.v_histograms WHERE subject = 'feature:position' AND segment = ''
         AND dateDiff('minute', window_start, window_end) = 60 AND window_end <= fromUnixTimestamp64Milli(${later[0].ts})`,
      )
      expect(rows).toEqual([{ n: impressions }])
    }, patienceMs)
  }

  private closing(partition: number): StoryEvent {
    return {
      type: 'impression',
      eventId: `closing-${partition}`,
      userId: keyOn(partition, 'closer'),
      itemId: 'closing',
      ts: (Math.floor(this.story.at / HOUR_MS) + 9) * HOUR_MS,
      consent: 'full',
      requestId: `closing-${partition}`,
      position: 0,
    }
  }

  async close(): Promise<void> {
    await endRuns()
    await this.versions.stop()
    await this.publisher.close()
    await this.transport.close()
    await this.setting.close()
    await Promise.all([this.kafka?.stop(), this.redis?.stop()])
  }
}
