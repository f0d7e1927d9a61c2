/**
 * For tests of policy evaluation: lists drawn by the real user task, shown and clicked by viewers of a known kind, with the rows
 * and packets that come of it.
 */

import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import type { Commit } from '../../streams/runtime/core.ts'
import { viewVersion } from '../../streams/runtime/names.ts'
import { decodePacket, deliverFrames } from '../../streams/runtime/packet.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { Outbox, TableRow } from '../../streams/topology/outbox.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { SampledDraws } from '../../topologies/evaluation/live/draws.ts'
import { evaluationChannel } from '../../topologies/evaluation/live/packets.ts'
import { createEvaluationStatisticsStage } from '../../topologies/evaluation/live/statistics-stage.ts'
import { createEvaluationUserStage } from '../../topologies/evaluation/live/user-stage.ts'
import type { ItemTable } from '../../topologies/items/table.ts'
import { pseudonym } from '../../topologies/labels/pseudonym.ts'
import { createLabelsStage } from '../../topologies/labels/stage.ts'
import { FakeItems } from '../../topologies/topk/fakes.ts'
import { topkOptions } from '../../topologies/topk/options.ts'
import { Slate, type SlateRules, Traits } from '../../topologies/topk/rules.ts'
import { SlateDrawer } from '../../topologies/topk/slate.ts'
import type { SlateRow } from '../../topologies/topk/slates-row.ts'
import { createTopkStage } from '../../topologies/topk/stage.ts'
import { GAP, impression, MINUTE, START, UserTask, watch } from './user-task.ts'

export const users = 300
/** Of the live evaluation: on the surface's temperature of 1. */
export const factors = [0.7, 1.6]
const size = 6
export const { values: options } = resolveOptions(topkOptions, {
  flags: {
    'topk.temperature': '1',
    'topk.size': String(size),
    'topk.candidates': '6',
    'slates.share': '1',
    'explore.holdout': '0',
  },
  environment: {},
  file: {},
})

/** What a viewer does of an item, whatever else happens. */
const isClicked = (user: string, item: string): boolean =>
  hash53(`${user} ${item}`) % 100 < 10 + (Number(item) % 5) * 12
/** Who clicked looks no further in half of all cases. */
const stopsAt = (user: string, item: string): boolean => hash53(`stop ${user} ${item}`) % 2 === 0

export function runWorld() {
  const task = new UserTask({
    items: () => new FakeItems({ items: 60, seed: 5 }),
    stages: (ctx, of) => {
      const draws = new SampledDraws({ items: ctx.table<ItemTable>('items'), factors, most: 5_000 })
      const evaluation = createEvaluationUserStage(ctx, {
        draws,
        watermark: of.watermark,
        gapMs: GAP,
        watchCapMs: 1_000,
        targets: factors.length,
      })
      return [
        createLabelsStage(ctx, {
          users: of,
          times: {
            startWithinMs: 10 * MINUTE,
            joinWithinMs: 30 * MINUTE,
            silenceMs: 5 * MINUTE,
            longestMs: 240 * MINUTE,
            returnWithinMs: 0,
          },
          objectives: { click: 0, graded: 1, completion: 0.3, return1d: 0 },
          feedback: {},
          slackMs: 0,
          examples: true,
          pseudonymKey: 'the key of this test',
          pseudonymKeyId: 'k1',
          sinks: [evaluation],
        }),
        evaluation,
        createTopkStage(ctx, {
          users: of,
          options,
          activeMs: GAP,
          pseudonym: userId => ({ user: pseudonymOf(userId), key: 'k1' }),
          evaluated: draws,
        }),
      ]
    },
  })
  task.now = START
  const id = (item: number): string => String(item).padStart(7, '0')
  for (let round = 0; round < 4; round++) {
    for (let u = 0; u < users; u++)
      task.send(watch(`u${u}`, id((u + round) % 60), task.now, `${u} ${round}`, 40_000, {}))
    task.now += 600
    task.tick()
    const made = task.commit()
    const version = viewVersion(1, 0, made!.number)
    for (const view of made?.effects.views ?? []) {
      if (!view.key.startsWith('topk:') || view.op !== 'json') continue
      const body = JSON.parse(`{${view.body}`) as {
        user: string
        policy: string
        items: { id: string; p: number; score: number }[]
      }
      for (const [position, { id: item, p, score }] of body.items.entries()) {
        const requestId = `${body.user} ${version}`
        const clicked = isClicked(body.user, item)
        task.send(
          impression(body.user, item, task.now, {
            requestId,
            listVersion: version,
            listIndex: position,
            position,
            propensity: p,
            score,
            policy: body.policy,
          }),
        )
        if (clicked)
          task.send({
            type: 'feedback',
            eventId: `${requestId} ${item}`,
            userId: body.user,
            itemId: item,
            ts: task.now + 1,
            requestId,
            kind: 'click',
          })
        if (clicked && stopsAt(body.user, item)) break
      }
    }
  }
  task.now += 300 * MINUTE
  task.send(watch('other', id(1), task.now, 'last', 1_000, {}))
  task.tick()
  task.commit()
  const rows = (table: string) =>
    task.commits.flatMap(({ effects }) =>
      effects.blocks.filter(block => block.table === table).flatMap(block => block.rows ?? []),
    )
  return { examples: rows('examples'), slates: rows('slates') as SlateRow[], commits: task.commits }
}

const names = new Map<string, string>()
function pseudonymOf(userId: string): string {
  const name = pseudonym(userId, 'the key of this test')
  names.set(name, userId)
  return name
}

/** Clicks a list of the rules from the row's candidates, by drawing them over and over. */
export function truth(rows: readonly SlateRow[], rules: SlateRules): number {
  const random = randomFrom(17)
  const slate = new Slate(rules.size)
  let sum = 0
  const draws = 40
  for (const row of rows) {
    const user = names.get(String(row.user)) ?? ''
    const traits = new Traits(row.candidates.length, 32)
    traits.count = row.candidates.length
    row.candidates.forEach(({ weight, features: [creator, topic, marks, ...vector] }, i) => {
      traits.logit[i] = weight
      traits.creator[i] = creator
      traits.topic[i] = topic
      traits.marks[i] = marks
      traits.vectors.set(vector, i * 32)
    })
    const drawer = new SlateDrawer(rules, traits.count)
    for (let n = 0; n < draws; n++) {
      drawer.draw(traits, random, slate)
      for (let k = 0; k < slate.count; k++) {
        const { item } = row.candidates[slate.picked[k]]
        if (!isClicked(user, item)) continue
        sum++
        if (stopsAt(user, item)) break
      }
    }
  }
  return sum / draws / rows.length
}

/** What statistic tasks write of the packets, taken in in an order of chance, with a restart after so many commits. */
export function liveRows(
  commits: readonly Commit[],
  seed: number,
  restartAfter = Number.POSITIVE_INFINITY,
): TableRow[] {
  const random = randomFrom(seed)
  const packets = commits
    .flatMap(({ effects }) => effects.packets)
    .map(({ value }) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
  const rows: TableRow[] = []
  const watermark = {
    value: 0,
    horizon: 0,
    passed: (end: number, delay: number) => end + delay <= watermark.value,
  }
  let now = 1_000_000
  const restored: [number, Buffer, Buffer][] = []
  const begin = () =>
    createEvaluationStatisticsStage(
      { now: () => now, metrics: noMetrics },
      { factors, delayMs: 45 * MINUTE, watermark },
    )
  let stage = begin()
  const flush = () => {
    stage.flush?.({ row: (_table: string, row: TableRow) => rows.push(row) } as unknown as Outbox)
    for (const store of stage.stores ?? [])
      for (const row of (store as unknown as Store<Row>).take(1e9)) {
        const { spec } = store as unknown as Store<Row>
        const [key, value] = [new ByteWriter(), new ByteWriter()]
        spec.writeKey(row, key)
        spec.writeValue(row, value)
        restored.push([spec.id, key.copy(), value.copy()])
      }
  }
  packets.forEach(({ value }, n) => {
    const packet = decodePacket(value, 'here')
    deliverFrames(packet, 'here', channel =>
      channel === evaluationChannel.id
        ? payload => stage.receive?.(evaluationChannel, payload)
        : undefined,
    )
    if (n % 3 === 0) flush()
    if (n !== restartAfter) return
    flush()
    stage = begin()
    for (const [id, key, bytes] of restored) {
      const store = (stage.stores ?? []).find(({ spec }) => spec.id === id)
      store?.spec.restore(new ByteReader(key), new ByteReader(bytes))
    }
    stage.restored?.([])
  })
  watermark.value = START + 3 * 60 * MINUTE
  now += 1_000_000
  for (let k = 0; k < 20; k++) flush()
  const newest = new Map<string, TableRow>()
  for (const row of rows) {
    const { window_start, window_end, policy_evaluated, metric, segment, estimator } = row
    newest.set([window_start, window_end, policy_evaluated, metric, segment, estimator].join(), row)
  }
  return [...newest.values()].map(({ revision, ...row }) => row)
}
