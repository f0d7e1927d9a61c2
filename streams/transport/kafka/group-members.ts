/** Who is in a consumer group, for those who must be alone. */
import type { Cluster } from './cluster.ts'
import { callError, errorType } from './connections.ts'

const GROUP_COORDINATOR = 0

/** Client ids with their hosts. Waits for the coordinator as everything does. */
export function groupMembers(cluster: Cluster, groupId: string): Promise<readonly string[]> {
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
      const { groups } = await used.calls.describeGroups({ groupIds: [groupId] })
      return groups.flatMap(({ members }) =>
        members.map(({ clientId, clientHost }) => `${clientId} (${clientHost.replace(/^\//, '')})`),
      )
    } catch (error) {
      if (errorType(error) === undefined) cluster.drop(used)
      throw callError(`asking who is in group ${groupId}`, error)
    }
  })
}
