/** Questions about offsets, each to the partition's leader: log start, high watermark, last stable offset, by time. */
import { FreshetError } from '../../errors.ts'
import type { TopicPartition } from '../port.ts'
import { type Cluster, nameOf } from './cluster.ts'
import { codeName, isRetriable, refusal, retriable } from './codes.ts'
import { EARLIEST, LATEST, listOffsetsRequest, type OffsetQuery } from './protocol.ts'

/** One offset a query, in the queries' order. One try. Errors: DEPENDENCY_UNREACHABLE, DEPENDENCY_UNSUITABLE. */
export async function listOffsets(
  cluster: Cluster,
  queries: readonly OffsetQuery[],
  committedOnly = false,
): Promise<number[]> {
  if (queries.some(query => cluster.leaderOf(query) === undefined))
    await cluster.lead([...new Set(queries.map(query => query.topic))])
  const leaders = new Map<number, number[]>()
  queries.forEach((query, index) => {
    const leader = cluster.leaderOf(query)
    if (leader === undefined) throw retriable(`${nameOf(query)} has no leader`)
    leaders.set(leader, [...(leaders.get(leader) ?? []), index])
  })
  const offsets: number[] = new Array(queries.length)
  await Promise.all(
    [...leaders].map(async ([leader, indexes]) => {
      const asked = indexes.map(index => queries[index])
      try {
        const link = await cluster.link(leader)
        const answers = await link
          .send(listOffsetsRequest(asked, committedOnly))
          .catch((error: unknown) => {
            cluster.drop(link)
            throw error
          })
        for (const index of indexes) {
          const { topic, partition } = queries[index]
          const answer = answers.find(one => one.partition === partition && one.topic === topic)
          const code = answer?.errorCode ?? -1
          const doing = `asking for the offsets of ${topic}-${partition}`
          if (code !== 0)
            throw isRetriable(code)
              ? retriable(`${doing}: ${codeName(code)}`)
              : refusal(code, doing)
          offsets[index] = answer?.offset ?? -1
        }
      } catch (error) {
        for (const query of asked) cluster.forgetLeader(query)
        throw error
      }
    }),
  )
  return offsets
}

/** Log start and high watermark of each partition (not the last stable offset). One try. */
export async function startsAndEnds(
  cluster: Cluster,
  at: readonly TopicPartition[],
): Promise<{ start: number; end: number }[]> {
  // two requests: a broker answers a partition named twice in one request with an error
  const [starts, ends] = await Promise.all([
    listOffsets(
      cluster,
      at.map(one => ({ topic: one.topic, partition: one.partition, timestamp: EARLIEST })),
    ),
    listOffsets(
      cluster,
      at.map(one => ({ topic: one.topic, partition: one.partition, timestamp: LATEST })),
    ),
  ])
  return at.map((_, i) => ({ start: starts[i], end: ends[i] }))
}

/**
 * The broker said that a position is out of range: finds out how. Returns where the position is in range after all (a
 * leader that had just been elected). Errors: POSITION_LOST, naming what was lost.
 */
export async function explainOutOfRange(
  cluster: Cluster,
  at: TopicPartition,
  offset: number,
): Promise<void> {
  const [{ start, end }] = await startsAndEnds(cluster, [at])
  if (offset >= start && offset <= end) return
  throw positionLost(at, offset, start, end)
}

function positionLost(
  at: TopicPartition,
  offset: number,
  start: number,
  end: number,
): FreshetError {
  const lost =
    offset < start
      ? `the log now starts at ${start}: records ${offset} to ${start - 1} (${start - offset} offsets) were deleted before they were read`
      : `the log ends at ${end}: ${offset - end} offsets that were there before are gone (the topic was made anew or lost records)`
  return new FreshetError(
    'POSITION_LOST',
    `reading ${nameOf(at)} at offset ${offset}: ${lost}; raise the topic's retention and begin anew from what is left with \`freshet reset\``,
    undefined,
    at,
  )
}
