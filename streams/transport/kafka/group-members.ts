/** What is known of a consumer group from outside: who is in it, for those who must be alone, and how far it is. */
import type { TopicPartition } from '../port.ts'
import type { Cluster } from './cluster.ts'
import { type BrokerCalls, callError, errorType } from './connections.ts'

const GROUP_COORDINATOR = 0

/** Client ids with their hosts. Waits for the coordinator as everything does. */
export function groupMembers(cluster: Cluster, groupId: string): Promise<readonly string[]> {
  return askCoordinator(cluster, groupId, 'asking who is in', async calls => {
    const { groups } = await calls.describeGroups({ groupIds: [groupId] })
    return groups.flatMap(({ members }) =>
      members.map(({ clientId, clientHost }) => `${clientId} (${clientHost.replace(/^\//, '')})`),
    )
  })
}

/** Committed offsets in the order asked; undefined where there is none. */
export async function groupOffsets(
  cluster: Cluster,
  groupId: string,
  at: readonly TopicPartition[],
): Promise<(number | undefined)[]> {
  const topics = new Map<string, { partition: number }[]>()
  for (const { topic, partition } of at)
    topics.set(topic, [...(topics.get(topic) ?? []), { partition }])
  const { responses } = await askCoordinator(cluster, groupId, 'asking for the offsets of', calls =>
    calls.offsetFetch({
      groupId,
      topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })),
    }),
  )
  return at.map(({ topic, partition }) => {
    const found = responses
      .find(one => one.topic === topic)
      ?.partitions.find(one => one.partition === partition)
    const offset = Number(found?.offset ?? -1)
    return offset < 0 ? undefined : offset
  })
}

function askCoordinator<T>(
  cluster: Cluster,
  groupId: string,
  doing: string,
  ask: (calls: BrokerCalls) => Promise<T>,
): Promise<T> {
  return cluster.persist(`the coordinator of group ${groupId}`, async () => {
    const any = await cluster.anyLink()
    let used = any
    try {
      const { coordinator } = await any.calls.findGroupCoordinator({
        groupId,
        coordinatorType: GROUP_COORDINATOR,
      })
      await cluster.refresh([])
      used = await cluster.link(coordinator.nodeId)
      return await ask(used.calls)
    } catch (error) {
      if (errorType(error) === undefined) cluster.drop(used)
      throw callError(`${doing} group ${groupId}`, error)
    }
  })
}
