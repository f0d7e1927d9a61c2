/**
 * Group membership without a consumer: join, sync, heartbeat, over and over, on kafkajs' broker calls.
 *
 *  - The callbacks never overlap: onAssigned, then onRebalance or onLost, then the next onAssigned.
 *  - Before it joins a rebalance a member waits for onRebalance, at most half the session timeout; a member that is late
 *    joins all the same, which the fence makes safe and which costs one commit's work.
 *  - Heartbeats go on while onAssigned runs, so a restore may take its time.
 *  - A coordinator that cannot be reached takes nothing from a member: only its word (unknown member, another
 *    generation) does. Until then whoever else owned the tasks would have fenced them.
 *  - Members say what they work on. One that works on something else gets no task but a refusal, and so does a leader that
 *    finds others at work: two applications never share a group.
 */
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import type { GroupSpec, Membership, TaskId, TopicPartition } from '../port.ts'
import { assignTasks } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import { type BrokerLink, callError, errorType } from './connections.ts'
import {
  decodeAssignment,
  decodeMember,
  encodeAssignment,
  encodeMember,
  encodeRefusal,
  PROTOCOL,
} from './group-format.ts'
import { isOutage, Signal } from './waits.ts'

const HEARTBEAT_MS = 500
const GROUP_COORDINATOR = 0

/** The coordinator knows this member no more: what it owned is lost. */
const LOST = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])

type Turn = 'rebalance' | 'lost' | 'left'

export class KafkaMembership implements Membership {
  private readonly cluster: Cluster
  private readonly spec: GroupSpec
  private readonly log: Logger
  private memberId = ''
  private generation = -1
  private owned: readonly TaskId[] = []
  private coordinator: BrokerLink | undefined
  private callbacks: Promise<unknown> = Promise.resolve()
  private readonly stop = new Signal()
  private leaving = false
  private readonly running: Promise<void>

  /** Takes over `cluster` and closes it. */
  constructor(cluster: Cluster, spec: GroupSpec, log: Logger) {
    this.cluster = cluster
    this.spec = spec
    this.log = log
    this.running = this.run()
  }

  async leave(): Promise<void> {
    if (!this.leaving) {
      this.leaving = true
      this.stop.fire()
      await this.sayGoodbye()
      this.cluster.close()
    }
    await this.running
    await this.callbacks
  }

  async commitOffsets(positions: readonly { at: TopicPartition; offset: number }[]): Promise<void> {
    if (positions.length === 0 || this.generation < 0) return
    const topics = new Map<string, { partition: number; offset: string }[]>()
    for (const { at, offset } of positions) {
      const partitions = topics.get(at.topic) ?? []
      partitions.push({ partition: at.partition, offset: String(offset) })
      topics.set(at.topic, partitions)
    }
    try {
      const link = await this.findCoordinator()
      await link.calls.offsetCommit({
        groupId: this.spec.groupId,
        groupGenerationId: this.generation,
        memberId: this.memberId,
        topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })),
      })
    } catch (error) {
      // for lag tools only (C6); the next commit brings newer ones. An outage is told by who waits for it
      const failure = callError('committing offsets', error)
      if (isOutage(failure)) return
      this.log.info({ group: this.spec.groupId, error: failure.message }, 'offsets not committed')
    }
  }

  private async run(): Promise<void> {
    const { clock, waits } = this.cluster.context
    const wait = waits.open()
    while (!this.leaving) {
      try {
        const tasks = await this.joinAndSync()
        wait.over()
        if (tasks === undefined) continue
        this.owned = tasks
        const assigned = this.callback('onAssigned', () => this.spec.onAssigned(tasks))
        await this.turn(await this.beat(), assigned)
      } catch (error) {
        if (this.leaving) break
        const refusal = this.refusalOf(error)
        if (refusal !== undefined) {
          await this.giveUp(refusal)
          break
        }
        this.loseCoordinator(errorType(error) === undefined)
        if (await this.lostAtJoin(error)) continue
        const failure = callError(`joining group ${this.spec.groupId}`, error)
        await clock.sleep(wait.failing(`the coordinator of group ${this.spec.groupId}`, failure))
      }
    }
    wait.over()
  }

  /** One generation ended: commit what is open or drop what is lost. */
  private async turn(turn: Turn, assigned: Promise<void>): Promise<void> {
    if (turn === 'left') return
    if (turn === 'lost') {
      this.forget()
      await this.callback('onLost', () => this.spec.onLost('the group session is gone'))
      return
    }
    const committed = assigned.then(() =>
      this.callback('onRebalance', () => this.spec.onRebalance()),
    )
    const limit = new Signal()
    void committed.then(() => limit.fire())
    await limit.wait(this.spec.sessionTimeoutMs / 2)
  }

  private async lostAtJoin(error: unknown): Promise<boolean> {
    const type = errorType(error)
    if (type === undefined || !LOST.has(type)) return false
    const hadTasks = this.owned.length > 0
    this.forget()
    if (hadTasks)
      await this.callback('onLost', () => this.spec.onLost(`the group coordinator says ${type}`))
    return true
  }

  /** Why the group can't be joined, where no waiting mends it. */
  private refusalOf(error: unknown): FreshetError | undefined {
    if (error instanceof FreshetError && error.code === 'APPLICATION_OTHER') return error
    if (errorType(error) !== 'INCONSISTENT_GROUP_PROTOCOL') return undefined
    return new FreshetError(
      'APPLICATION_OTHER',
      `joining group ${this.spec.groupId} was refused by the broker (INCONSISTENT_GROUP_PROTOCOL): consumers of another program use this group id; give freshet an application.id of its own, or end those consumers`,
    )
  }

  private refusedBy(identity: string): FreshetError {
    const { groupId, identity: own } = this.spec
    return new FreshetError(
      'APPLICATION_OTHER',
      `group ${groupId}: its members work on ${identity}, this one on ${own}: the group id is another application's, or workers of two generations met; give this application an application.id of its own, or stop all workers and start them with the same topics.prefix`,
    )
  }

  /** Leaves for good; the group goes on without this member. */
  private async giveUp(error: FreshetError): Promise<void> {
    this.leaving = true
    this.stop.fire()
    await this.sayGoodbye()
    this.cluster.close()
    this.spec.onRefused(error)
  }

  private forget(): void {
    this.memberId = ''
    this.generation = -1
    this.owned = []
  }

  /** Queues a callback behind the ones before it; a callback that throws is logged, the loop goes on. */
  private callback(name: string, work: () => Promise<void>): Promise<void> {
    const result = this.callbacks.then(work).catch((error: unknown) => {
      this.log.error({ group: this.spec.groupId, error: messageOf(error) }, `${name} failed`)
    })
    this.callbacks = result
    return result
  }

  /** The whole new assignment; undefined where the rebalance began anew. */
  private async joinAndSync(): Promise<TaskId[] | undefined> {
    const { groupId, sessionTimeoutMs, topicsOf, identity } = this.spec
    const link = await this.findCoordinator()
    const all = await this.spec.tasks()
    const topics = new Set([...new Set(all.map(task => task.kind))].flatMap(topicsOf))
    const joined = await link.calls.joinGroup({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: sessionTimeoutMs,
      memberId: this.memberId,
      protocolType: 'consumer',
      groupProtocols: [
        {
          name: PROTOCOL,
          metadata: encodeMember([...topics], {
            owned: this.owned,
            generation: this.generation,
            identity,
          }),
        },
      ],
    })
    this.memberId = joined.memberId
    this.generation = joined.generationId
    try {
      const { memberAssignment } = await link.calls.syncGroup({
        groupId,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupAssignment:
          joined.leaderId === joined.memberId ? await this.dealTasks(joined.members) : [],
      })
      const assigned = decodeAssignment(memberAssignment)
      if ('refusedBy' in assigned) throw this.refusedBy(assigned.refusedBy)
      return assigned
    } catch (error) {
      if (errorType(error) === 'REBALANCE_IN_PROGRESS') return undefined
      throw error
    }
  }

  private async dealTasks(
    members: readonly { memberId: string; memberMetadata: Buffer }[],
  ): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const { identity } = this.spec
    const states = members.map(member => decodeMember(member.memberId, member.memberMetadata))
    const ours = states.filter(member => member.identity === identity)
    const others = states.filter(member => member.identity !== identity)
    const atWork = others.find(member => member.owned.length > 0)
    if (atWork !== undefined && ours.every(member => member.owned.length === 0))
      throw this.refusedBy(atWork.identity ?? 'what they do not say')
    const assignment = assignTasks(ours, await this.spec.tasks())
    return [
      ...[...assignment].map(([memberId, tasks]) => ({
        memberId,
        memberAssignment: encodeAssignment(tasks, kind => this.spec.topicsOf(kind)),
      })),
      ...others.map(({ memberId }) => ({ memberId, memberAssignment: encodeRefusal(identity) })),
    ]
  }

  /** Heartbeats until the generation ends. Outages are waited for. */
  private async beat(): Promise<Turn> {
    const { clock, waits } = this.cluster.context
    const wait = waits.open()
    const everyMs = Math.min(HEARTBEAT_MS, this.spec.sessionTimeoutMs / 6)
    try {
      for (;;) {
        await this.stop.wait(everyMs)
        if (this.leaving) return 'left'
        try {
          const link = await this.findCoordinator()
          await link.calls.heartbeat({
            groupId: this.spec.groupId,
            groupGenerationId: this.generation,
            memberId: this.memberId,
          })
          wait.over()
        } catch (error) {
          if (this.leaving) return 'left'
          const type = errorType(error)
          if (type === 'REBALANCE_IN_PROGRESS') return 'rebalance'
          if (type !== undefined && LOST.has(type)) return 'lost'
          this.loseCoordinator(type === undefined)
          const failure = callError('heartbeat', error)
          await clock.sleep(wait.failing(`the coordinator of group ${this.spec.groupId}`, failure))
        }
      }
    } finally {
      wait.over()
    }
  }

  private loseCoordinator(isBroken: boolean): void {
    if (isBroken && this.coordinator) this.cluster.drop(this.coordinator)
    this.coordinator = undefined
  }

  private async findCoordinator(): Promise<BrokerLink> {
    if (this.coordinator) return this.coordinator
    const any = await this.cluster.anyLink()
    try {
      const { coordinator } = await any.calls.findGroupCoordinator({
        groupId: this.spec.groupId,
        coordinatorType: GROUP_COORDINATOR,
      })
      await this.cluster.refresh([])
      this.coordinator = await this.cluster.link(coordinator.nodeId)
      return this.coordinator
    } catch (error) {
      if (errorType(error) === undefined) this.cluster.drop(any)
      throw error
    }
  }

  private async sayGoodbye(): Promise<void> {
    if (this.memberId === '' || !this.coordinator) return
    const { groupId } = this.spec
    const { clock } = this.cluster.context
    const left = this.coordinator.calls
      .leaveGroup({ groupId, memberId: this.memberId })
      .catch((error: unknown) => {
        const failure = callError(`leaving group ${groupId}`, error)
        if (!isOutage(failure)) this.log.info({ group: groupId, error: failure.message }, 'leave')
      })
    await Promise.race([left, clock.sleep(this.spec.sessionTimeoutMs / 2)])
  }
}

/** Checks a group's settings before it joins. */
export function checkGroup(spec: GroupSpec): void {
  if (!(spec.sessionTimeoutMs >= 1000))
    throw new FreshetError(
      'OPTION_INVALID',
      `a session timeout of ${spec.sessionTimeoutMs} ms is too short to be kept: at least 1000`,
    )
}
