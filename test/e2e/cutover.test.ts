/**
 * A replay's state takes the live one's place while events come in steadily and two workers run; then a rollback. A watcher
 * reads Redis all the time: nothing goes back. Afterwards everything equals the recount: no event was lost or counted twice.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, expect, it } from 'vitest'
import { FaultDeployment } from '../support/faults/deployment.ts'
import { kafkaBrokers, redisUrl } from '../support/services.ts'
import { answerOf, endRuns, freshet } from './command.ts'

const LOOK_MS = 40

afterAll(endRuns)

/** What readers see of sessions, lists and popularity: never older than before. */
class Watcher {
  readonly wentBack: string[] = []
  looks = 0
  private readonly redis: Redis
  private readonly prefix: string
  private readonly users: readonly string[]
  private readonly last = new Map<string, number | string>()
  /** When `pop:at` moved on, ms. */
  private movedAt = Date.now()
  private longestMs = 0
  private going = true
  private readonly watching: Promise<void>

  constructor(url: string, prefix: string, users: readonly string[]) {
    this.redis = new Redis(url)
    this.prefix = prefix
    this.users = users
    this.watching = this.watch()
  }

  /** The longest time without news since it was last asked for, ms. */
  takeGap(): number {
    const gap = this.longestMs
    this.longestMs = 0
    return gap
  }

  async stop(): Promise<void> {
    this.going = false
    await this.watching
    this.redis.disconnect()
  }

  private async watch(): Promise<void> {
    for (; this.going; await sleep(LOOK_MS)) {
      const pipeline = this.redis.pipeline()
      pipeline.get(`${this.prefix}pop:at`)
      for (const user of this.users) {
        pipeline.hmget(`${this.prefix}session:${user}`, 'version', 'last_event_at')
        pipeline.get(`${this.prefix}topk:home:u:${user}`)
      }
      const [[, popAt], ...found] = (await pipeline.exec()) ?? []
      this.looks++
      this.news(Number(popAt ?? 0))
      this.users.forEach((user, i) => {
        const [version, lastEventAt] = found[2 * i][1] as (string | null)[]
        if (version) this.compare(`session ${user} version`, version)
        if (lastEventAt) this.compare(`session ${user} last_event_at`, Number(lastEventAt))
        const list = found[2 * i + 1][1] as string | null
        if (!list) return
        const { version: listVersion, at } = JSON.parse(list) as { version: string; at: number }
        this.compare(`list ${user} version`, listVersion)
        this.compare(`list ${user} at`, at)
      })
    }
  }

  private news(popAt: number): void {
    const now = Date.now()
    if (this.last.get('pop:at') !== popAt) this.movedAt = now
    this.longestMs = Math.max(this.longestMs, now - this.movedAt)
    this.compare('pop:at', popAt)
  }

  private compare(name: string, value: number | string): void {
    const before = this.last.get(name)
    if (before !== undefined && value < before)
      this.wentBack.push(`${name} went from ${before} to ${value}`)
    this.last.set(name, value)
  }
}

/** What the first worker's process says of itself, all the time. */
function watchHealth(port: number) {
  const seen = { unhealthy: 0, waitedFor: new Set<string>() }
  let going = true
  const watching = (async () => {
    for (; going; await sleep(LOOK_MS)) {
      if (!(await fetch(`http://127.0.0.1:${port}/healthz`)).ok) seen.unhealthy++
      const ready = await fetch(`http://127.0.0.1:${port}/readyz`)
      if (ready.status !== 503) continue
      for (const what of ((await ready.json()) as { waitingFor: string[] }).waitingFor)
        seen.waitedFor.add(what)
    }
  })()
  return {
    async stop() {
      going = false
      await watching
      return seen
    },
  }
}

it('a cutover under load, and back: nothing lost, nothing doubled, nothing older than before', async () => {
  const deployment = await FaultDeployment.open({
    brokers: await kafkaBrokers(),
    redisUrl: await redisUrl(),
    story: { users: 60 },
  })
  const { setting } = deployment
  const run = await deployment.run('--workers', '2')
  const telling = deployment.tell({ perSecond: 100 })
  await telling.more(1_500)
  const started = await freshet(setting, 'replay', 'start', 'r', '--json')
  expect(started.code, started.stderr).toBe(0)
  const watcher = new Watcher(setting.redisUrl, `${setting.name}:`, deployment.story.users)
  await telling.more(300)
  const quietGap = watcher.takeGap()
  const health = watchHealth(run.ports[0])
  const cut = await answerOf(setting, 'replay', 'cutover', 'r')
  expect(cut).toMatchObject({ replay: 'r', generation: 2, changed: true, hadWorkers: true })
  await telling.more(1_000)
  const { unhealthy, waitedFor } = await health.stop()
  expect(unhealthy).toBe(0)
  expect([...waitedFor].join()).toMatch(/cutover of r, which holds the workers until 20/)
  const cutGap = watcher.takeGap()
  await telling.stop()
  deployment.itemChangelog = 'replay.r.g1.item-changelog'
  await deployment.expectAllEqual()
  expect(watcher.wentBack).toEqual([])
  expect(await answerOf(setting, 'replay', 'cutover', 'r')).toMatchObject({ changed: false })
  const removal = await freshet(setting, 'replay', 'rm', 'r')
  expect(removal.code).toBe(2)
  expect(removal.stderr).toContain('the state of r is live since')

  const again = deployment.tell({ perSecond: 100 })
  await again.more(300)
  watcher.takeGap()
  const back = await answerOf(setting, 'replay', 'rollback')
  expect(back).toMatchObject({ generation: 3, changed: true, state: { generation: 1 } })
  await again.more(1_500)
  const backGap = watcher.takeGap()
  await again.stop()
  deployment.itemChangelog = undefined
  await deployment.expectAllEqual()
  expect(watcher.wentBack).toEqual([])
  await watcher.stop()
  expect(watcher.looks).toBeGreaterThan(100)
  // said for docs/replay-cutover.md
  console.info(JSON.stringify({ quietGap, cutGap, backGap, cut, back }))
  expect(run.workers, 'processes were not started anew').toHaveLength(2)
  expect(await run.stop()).toBe(0)
  await deployment.close()
}, 400_000)
