/** `freshet inspect item|user|task`: state as the log has it. */
import { systemClock } from '../streams/clock.ts'
import { FreshetError } from '../streams/errors.ts'
import { ByteReader } from '../streams/serde/bytes.ts'
import { featureNames } from '../topologies/blend/features.ts'
import { buckets } from '../topologies/blend/newton.ts'
import { BlendWeights } from '../topologies/blend/weights.ts'
import { describeItem, describeNeighbours, describeUser } from '../topologies/explain/describe.ts'
import { learnerStores } from '../topologies/learner/rows.ts'
import { ResponseWeights } from '../topologies/response/weights.ts'
import { answer, type Call, EXIT, notDone } from './call.ts'
import { openStoredViews } from './compose.ts'
import { nobody, unknownItem } from './explain/words.ts'
import { openState } from './state.ts'
import {
  ago,
  bytes,
  count,
  decayedText,
  durationText,
  paint,
  plural,
  spanText,
  table,
  time,
} from './terminal.ts'

const mostRows = 20

export async function inspectItem(call: Call, itemId: string): Promise<number> {
  const state = await openState(call)
  try {
    const items = await state.items()
    const known = items.size
    const item = items.index(itemId)
    if (item >= known) return notDone(unknownItem(itemId))
    const found = {
      ...describeItem(items, item, systemClock.now(), items.countedUntil),
      neighbours: describeNeighbours(items, item),
      similar: await similarTo(call, itemId),
    }
    answer(call, found, () => itemText(found))
    return EXIT.done
  } finally {
    await state.close()
  }
}

/** "Watch next" as readers get it; null where there is none, or no view store. */
async function similarTo(call: Call, itemId: string): Promise<unknown> {
  if (call.values['redis.url'] === 'none') return null
  const views = openStoredViews(call)
  try {
    return (await views.json(`similar:${itemId}`))?.items ?? null
  } finally {
    await views.close()
  }
}

type FoundItem = ReturnType<typeof describeItem> & {
  readonly neighbours: ReturnType<typeof describeNeighbours>
}

function itemText(found: FoundItem): string {
  const { catalog, decayed, vectors, neighbours } = found
  const now = systemClock.now()
  const lines = [
    `${paint('bold', found.item)}  ${found.listable ? 'may be listed' : paint('red', `may not be listed: ${found.whyNot}`)}`,
    catalog
      ? [
          `"${catalog.title}"`,
          `creator ${catalog.creator || 'unknown'}`,
          `topics ${catalog.topics.join(', ') || 'none'}`,
          `language ${catalog.language || 'unknown'}`,
          `published ${time(catalog.publishedAt)}`,
          catalog.expiresAt === null ? 'never expires' : `expires ${time(catalog.expiresAt)}`,
          `safety ${catalog.safety}`,
        ].join(', ')
      : 'not in the catalog',
    `${plural(found.impressions, 'impression')}, ${plural(found.positives, 'positive')} (rate ${found.rate.toPrecision(3)}, smoothed); first positive ${ago(found.firstPositiveAt, now)}, last positive ${ago(found.lastPositiveAt, now)}`,
    '',
    `decayed positives as of ${time(decayed.asOf)}:`,
    table([
      ['half-life', 'positives'],
      ...decayed.values.map(({ halfLifeMs, value }) => [spanText(halfLifeMs), decayedText(value)]),
    ]),
    '',
    vectors
      ? `vectors of ${vectors.output.length}: |context| ${length(vectors.context)}, |output| ${length(vectors.output)}, bias ${vectors.bias.toFixed(3)} (numbers with --json)`
      : 'no vectors yet',
    found.content ? `content vector of ${found.content.length}` : 'no content vector',
    found.response
      ? `response: item ${found.response.item.toFixed(3)}, creator ${found.response.creator.toFixed(3)}`
      : 'response: off, or nothing learnt (a label waits for labels.startWithin, 10 min by default)',
  ]
  if (neighbours === null) return [...lines, 'no neighbours yet'].join('\n')
  return [
    ...lines,
    '',
    `${plural(neighbours.items.length, 'neighbour')} as of ${time(neighbours.asOf)}${neighbours.items.length > mostRows ? `, the strongest ${mostRows}` : ''}:`,
    table([
      ['item', 'W', 'next (6 h)', 'recent (14 d)', 'positives'],
      ...neighbours.items
        .slice(0, mostRows)
        .map(({ item, w, d, f, positives }) => [
          item,
          w.toFixed(3),
          d.toFixed(3),
          f.toFixed(3),
          String(positives),
        ]),
    ]),
  ].join('\n')
}

const length = (vector: readonly number[]): string => Math.hypot(...vector).toFixed(3)

export async function inspectUser(call: Call, userId: string): Promise<number> {
  const state = await openState(call)
  try {
    const found = await state.user(userId)
    const user = found.end()
    if (user === undefined) return notDone(nobody(userId, found.withdrawnAt))
    const described = { ...describeUser(user, await state.items()), watermark: found.watermark }
    answer(call, described, () => userText(described))
    return EXIT.done
  } finally {
    await state.close()
  }
}

function userText(user: ReturnType<typeof describeUser>): string {
  const { session, positives, exclusions, approvals, creators, shown } = user
  const now = systemClock.now()
  const some = <T>(
    title: string,
    rows: readonly T[],
    head: readonly string[],
    cells: (row: T) => (string | number)[],
  ): string[] =>
    rows.length === 0
      ? []
      : [
          '',
          `${title}${rows.length > mostRows ? ` (${mostRows} of ${rows.length}, all with --json)` : ''}:`,
          table([head, ...rows.slice(0, mostRows).map(cells)]),
        ]
  return [
    `${paint('bold', user.user)}  consent ${user.consent}${user.cohort === '' ? '' : `, cohort ${user.cohort}`}, surface ${user.surface}, last seen ${time(user.lastSeenAt)} (${ago(user.lastSeenAt, now)}), offset ${user.lastOffset}`,
    `session ${session.id} since ${time(session.startedAt)}: ${plural(session.impressions, 'impression')}, ${plural(session.watches, 'watch', 'watches')} (${durationText(session.watchedMs)}), ${plural(session.positives, 'positive')}, ${session.completes} finished, ${session.skips} skipped`,
    ...some('positives, newest first', positives, ['item', 'at'], ({ item, at }) => [
      item,
      time(at),
    ]),
    ...some(
      'finished or refused, newest first',
      exclusions,
      ['item', 'reason', 'hour', 'in force'],
      ({ item, reason, at, inForce }) => [item, reason, time(at), inForce ? 'yes' : 'no'],
    ),
    ...some('approvals', approvals, ['item', 'kind', 'hour'], ({ item, kind, at }) => [
      item,
      kind,
      time(at),
    ]),
    ...some('creators by feedback', creators, ['creator', 'weight'], ({ creator, weight }) => [
      creator,
      weight.toFixed(3),
    ]),
    ...some(
      'shown without a watch',
      shown,
      ['item', 'in 24 h', 'in 7 d'],
      ({ item, last24h, last7d }) => [item, last24h, last7d],
    ),
    paint(
      'dim',
      'what was shown is written every 10 s; context and explored positions of the day are kept in a worker alone',
    ),
  ].join('\n')
}

export async function inspectTask(call: Call, kind: string, given: string): Promise<number> {
  const partition = Number(given)
  if (!Number.isInteger(partition) || partition < 0)
    throw new FreshetError(
      'CALL_INVALID',
      `the partition got ${JSON.stringify(given)}; it takes a whole number from 0`,
    )
  const state = await openState(call)
  try {
    const learnt = kind === 'learner' ? new Learnt() : undefined
    const report = await state.task(kind, partition, learnt?.take)
    const found = learnt ? { ...report, learnt: learnt.described() } : report
    answer(call, found, () => taskText(report, learnt?.described()))
    return EXIT.done
  } finally {
    await state.close()
  }
}

/** What the learner's rows say that it learnt. */
class Learnt {
  private readonly blend = new BlendWeights()
  private readonly response = new ResponseWeights()

  readonly take = (store: number, key: Buffer, value: Buffer): void => {
    if (store === learnerStores.blend) this.blend.read(new ByteReader(value))
    if (store === learnerStores.response)
      this.response.apply(new ByteReader(key), new ByteReader(value))
  }

  described() {
    const { blend, response } = this
    const f = featureNames.length
    return {
      positives: blend.learnt,
      tasteMeans: Array.from(blend.tasteMeans),
      features: featureNames.map((feature, i) => ({
        feature,
        shared: blend.sets[i],
        buckets: Array.from({ length: buckets }, (_, b) => blend.sets[(1 + b) * f + i]),
      })),
      response: {
        learnt: response.learnt,
        strength: response.strength,
        kept: response.kept,
        dense: Array.from(response.dense),
      },
    }
  }
}

type Report = Awaited<ReturnType<Awaited<ReturnType<typeof openState>>['task']>>

function taskText(report: Report, learnt: ReturnType<Learnt['described']> | undefined): string {
  const { changelog, owner, commit, inputs, applied, stores } = report
  const now = systemClock.now()
  const lines = [
    paint('bold', report.task),
    owner
      ? `owner ${owner.uuid} since ${time(owner.since)}, producer ${owner.producerId} epoch ${owner.epoch}, token ${owner.token}`
      : 'nobody owned it yet',
    commit
      ? `commit ${count(commit.number)} at ${time(commit.at)} (${ago(commit.at, now)}); state since ${time(commit.bornAt)}`
      : 'no commit yet',
    `changelog ${changelog.topic}-${report.task.slice(report.task.lastIndexOf('-') + 1)}: offsets ${changelog.start} to ${changelog.end}, ${plural(changelog.batches, 'batch', 'batches')}, ${plural(changelog.records, 'record')}, ${bytes(changelog.bytes)}; ${report.waitingBlocks} blocks of table rows wait`,
  ]
  if (inputs.length > 0)
    lines.push(
      '',
      table([
        ['input', 'position', 'end', 'lag'],
        ...inputs.map(({ topic, position, end, lag }) => [
          topic,
          count(position),
          end === null ? 'gone' : count(end),
          lag === null ? '-' : count(lag),
        ]),
      ]),
    )
  const senders = Object.entries(applied)
  if (senders.length > 0)
    lines.push(`packets taken in: ${senders.map(([from, n]) => `${from} up to ${n}`).join(', ')}`)
  lines.push(
    '',
    table([
      ['store', 'rows', 'bytes', 'written'],
      ...stores.map(({ name, rows, bytes: size, write }) => [
        name,
        rows,
        bytes(size),
        write === 'exact' || write.everyMs === 0
          ? 'every commit'
          : `every ${durationText(write.everyMs)}`,
      ]),
    ]),
  )
  if (learnt) lines.push('', ...learntText(learnt))
  return lines.join('\n')
}

function learntText(learnt: ReturnType<Learnt['described']>): string[] {
  const { response } = learnt
  return [
    `learnt from ${plural(learnt.positives, 'positive')} (the blend), ${plural(response.learnt, 'impression')} (response: strength ${response.strength.toFixed(2)}, of the choice kept ${response.kept.toFixed(2)})`,
    'weights: shared, and what a bucket adds (0 no history; 1-3 within 30 min of the last positive: under 4, under 20, more; 4-6 after)',
    table([
      ['feature', 'shared', ...Array.from({ length: buckets }, (_, b) => String(b))],
      ...learnt.features.map(({ feature, shared, buckets: own }) => [
        feature,
        shared.toFixed(3),
        ...own.map(weight => weight.toFixed(3)),
      ]),
    ]),
  ]
}
