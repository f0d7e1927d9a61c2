/** `freshet run` killed -9 in mid-stream: what stands in Redis afterwards equals the recount, as if nothing had happened. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { startProxy } from '../support/proxy.ts'
import { answerOf, endRuns, Run } from './command.ts'
import { expectKnownKeys, expectPopularity, expectSessions } from './expectations.ts'
import { simulateLog } from './rating-log.ts'
import { type Play, playsOf } from './recount.ts'
import { eventually, Setting, until } from './setting.ts'

const EVENTS = 6_000
const THIRD = EVENTS / 3
const CHUNK = 50
const PATIENCE_MS = 90_000
/** A killed worker's tasks are free after this. */
const SESSION = ['--kafka.sessionTimeout', '3s']

/** A stretch of the plays as plain JSON; every tenth is sent twice, as a client does that missed an acknowledgement. */
class Sending {
  private readonly setting: Setting
  private readonly sent: Promise<void>
  private release: () => void = () => undefined

  constructor(setting: Setting, plays: readonly Play[], third: number) {
    this.setting = setting
    const killed = new Promise<void>(resolve => {
      this.release = resolve
    })
    this.sent = this.send(plays, third * THIRD, (third + 1) * THIRD, killed)
  }

  /** The last chunk is held back until this is called, so that whatever came before was in mid-stream. */
  finish(): Promise<void> {
    this.release()
    return this.sent
  }

  private async send(
    plays: readonly Play[],
    from: number,
    to: number,
    killed: Promise<void>,
  ): Promise<void> {
    for (let at = from; at < to; at += CHUNK) {
      if (at + CHUNK >= to) await killed
      const messages = plays.slice(at, Math.min(to, at + CHUNK)).flatMap((play, i) => {
        const message = { key: play.user, value: JSON.stringify(eventOf(play, at + i)) }
        return i % 10 === 0 ? [message, message] : [message]
      })
      await this.setting.producer.send({ topic: this.setting.topic('events'), messages })
      await sleep(60)
    }
  }
}

const eventOf = (play: Play, number: number) => ({
  type: 'watch',
  eventId: `e${number}`,
  userId: play.user,
  itemId: play.item,
  ts: play.at,
  playId: `p${number}`,
  watchedMs: play.watchedMs,
  durationMs: 100_000,
  endReason: play.finished ? 'finished' : 'left',
  consent: 'full',
})

describe('freshet run killed -9 in mid-stream', () => {
  let setting: Setting
  let run: Run

  afterEach(async () => {
    await endRuns()
    await setting?.close()
  })

  async function begin(): Promise<Play[]> {
    setting = await Setting.open()
    await answerOf(setting, 'topics', 'create')
    return playsOf(readFileSync(simulateLog(join(setting.cwd, 'log'), EVENTS), 'utf8'))
  }

  /** Waits until work is out and more is to come: a kill here is one in mid-stream. */
  async function midStream(): Promise<void> {
    const before = await setting.redis.get(setting.key('pop:at'))
    await until(async () => (await setting.redis.get(setting.key('pop:at'))) !== before, 50)
  }

  async function expectAllEqual(plays: readonly Play[]): Promise<void> {
    await setting.taken('events')
    await eventually(() => expectSessions(setting, plays), PATIENCE_MS)
    await eventually(() => expectPopularity(setting, plays), PATIENCE_MS)
    await expectKnownKeys(setting)
    expect(await setting.deadLetters()).toEqual([])
  }

  it('one worker, twice: sessions and counts equal the recount', async () => {
    const plays = await begin()
    run = await new Run(setting, ...SESSION).ready()
    for (let third = 0; third < 2; third++) {
      const sending = new Sending(setting, plays, third)
      await midStream()
      await run.kill9()
      await sending.finish()
      run = await new Run(setting, ...SESSION).ready()
    }
    await new Sending(setting, plays, 2).finish()
    await expectAllEqual(plays)
    expect(await run.stop(), run.output).toBe(0)
  }, 420_000)

  it('told to stop while it still starts, it leaves in order', async () => {
    setting = await Setting.open()
    await answerOf(setting, 'topics', 'create')
    const proxy = await startProxy(Number(new URL(setting.registry.url).port))
    await proxy.set('hold')
    const variables = {
      ...setting.variables,
      FRESHET_SCHEMA_REGISTRY_URL: `http://127.0.0.1:${proxy.port}`,
    }
    run = new Run({ cwd: setting.cwd, variables }, ...SESSION)
    await until(() => proxy.connections() > 0)
    const stopped = run.stop()
    await proxy.set('pass')
    expect(await stopped, run.output).toBe(0)
    expect(run.output).toContain('stopped')
    await proxy.close()
  }, 60_000)

  it('two workers: one killed and restarted by its supervisor, then all at once', async () => {
    const plays = await begin()
    run = await new Run(setting, '--workers', '2', ...SESSION).ready(2)
    const first = new Sending(setting, plays, 0)
    await midStream()
    process.kill(run.workers[0], 'SIGKILL')
    await until(() => run.workers.length === 3)
    await first.finish()
    const second = new Sending(setting, plays, 1)
    await midStream()
    await run.kill9()
    await second.finish()
    run = await new Run(setting, '--workers', '2', ...SESSION).ready(2)
    await new Sending(setting, plays, 2).finish()
    await expectAllEqual(plays)
    expect(await run.stop(), run.output).toBe(0)
  }, 420_000)
})
