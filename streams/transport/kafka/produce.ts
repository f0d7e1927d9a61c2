/**
 * Sends stamped batches until the broker took or refused each of them: the same bytes and sequence again and again, one
 * request a leader, and of a request only the parts that are still open. Invariants T1-T3 of the port rest on this file.
 */
import type { TopicPartition } from '../port.ts'
import { type Cluster, closedError, nameOf } from './cluster.ts'
import { codeName, DUPLICATE_SEQUENCE_NUMBER, isFencing, isRetriable, retriable } from './codes.ts'
import { callError } from './connections.ts'
import { type ProducedPart, type ProducePart, produceRequest } from './protocol.ts'

/** How long the broker may wait for its replicas before it answers; then the request is repeated. */
const REPLICAS_MS = 10_000

export type Outcome =
  | { readonly kind: 'written'; readonly baseOffset: number }
  | { readonly kind: 'fenced'; readonly code: string }
  | { readonly kind: 'refused'; readonly code: number }
  /** The deadline is over: written or not, nobody knows. */
  | { readonly kind: 'unknown'; readonly lastError: string }

interface Open extends ProducePart {
  readonly index: number
  lastError: string
}

/** One outcome a part, in the parts' order. Errors: CLOSED; else outages are waited for until `deadline` (ms epoch). */
export async function produceAll(
  cluster: Cluster,
  parts: readonly ProducePart[],
  deadline: number,
): Promise<Outcome[]> {
  const { clock, waits } = cluster.context
  const outcomes: Outcome[] = new Array(parts.length)
  let open: Open[] = parts.map((part, index) => ({ ...part, index, lastError: 'not sent' }))
  const wait = waits.open()
  try {
    for (;;) {
      await findLeaders(cluster, open)
      const groups = byLeader(cluster, open)
      await Promise.all(
        [...groups].map(([leader, group]) => sendOnce(cluster, leader, group, outcomes, deadline)),
      )
      open = open.filter(part => outcomes[part.index] === undefined)
      if (open.length === 0) return outcomes
      if (cluster.closed) throw closedError()
      const delay = wait.failing(`the leader of ${nameOf(open[0])}`, open[0].lastError)
      if (clock.now() + delay >= deadline) {
        for (const part of open)
          outcomes[part.index] = { kind: 'unknown', lastError: part.lastError }
        return outcomes
      }
      await clock.sleep(delay)
    }
  } finally {
    wait.over()
  }
}

async function findLeaders(cluster: Cluster, open: readonly Open[]): Promise<void> {
  const unknown = open.filter(part => cluster.leaderOf(part) === undefined)
  if (unknown.length === 0) return
  try {
    await cluster.lead([...new Set(unknown.map(part => part.topic))])
  } catch (error) {
    const failure = callError('asking for the leaders', error)
    if (failure.code !== 'DEPENDENCY_UNREACHABLE') throw failure
    for (const part of unknown) part.lastError = failure.message
    return
  }
  for (const part of unknown) part.lastError = `${nameOf(part)} has no leader`
}

function byLeader(cluster: Cluster, open: readonly Open[]): Map<number, Open[]> {
  const groups = new Map<number, Open[]>()
  for (const part of open) {
    const leader = cluster.leaderOf(part)
    if (leader === undefined) continue
    const group = groups.get(leader)
    if (group) group.push(part)
    else groups.set(leader, [part])
  }
  return groups
}

async function sendOnce(
  cluster: Cluster,
  leader: number,
  group: readonly Open[],
  outcomes: Outcome[],
  deadline: number,
): Promise<void> {
  try {
    const link = await cluster.link(leader)
    // looked at in the same turn as the send: a process may have slept for hours since the last try, and meanwhile brokers
    // forgot the producer id that would have had it refused
    if (cluster.context.clock.now() >= deadline) {
      for (const { index, lastError } of group) outcomes[index] = { kind: 'unknown', lastError }
      return
    }
    try {
      const answer = await link.send(produceRequest(group, REPLICAS_MS))
      for (const part of group) settle(cluster, part, answer, outcomes)
    } catch (error) {
      cluster.drop(link)
      throw error
    }
  } catch (error) {
    const failure = callError(`producing to broker ${cluster.addressOf(leader)}`, error)
    if (failure.code !== 'DEPENDENCY_UNREACHABLE') throw failure
    for (const part of group) {
      part.lastError = failure.message
      cluster.forgetLeader(part)
    }
  }
}

function settle(
  cluster: Cluster,
  part: Open,
  answer: readonly ProducedPart[],
  outcomes: Outcome[],
): void {
  const found = answer.find(one => samePlace(one, part))
  if (!found) throw retriable(`the broker's answer leaves out ${nameOf(part)}`)
  const { errorCode, baseOffset } = found
  if (errorCode === 0) outcomes[part.index] = { kind: 'written', baseOffset }
  else if (errorCode === DUPLICATE_SEQUENCE_NUMBER)
    // without the first one's offset nobody can tell whose batch it was: the owner must claim again
    outcomes[part.index] =
      baseOffset >= 0
        ? { kind: 'written', baseOffset }
        : { kind: 'fenced', code: codeName(errorCode) }
  else if (isFencing(errorCode))
    outcomes[part.index] = { kind: 'fenced', code: codeName(errorCode) }
  else if (isRetriable(errorCode)) {
    part.lastError = codeName(errorCode)
    cluster.forgetLeader(part)
  } else outcomes[part.index] = { kind: 'refused', code: errorCode }
}

const samePlace = (a: TopicPartition, b: TopicPartition): boolean =>
  a.partition === b.partition && a.topic === b.topic
