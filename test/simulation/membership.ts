/** A member of the group, with the rules of `streams/transport/kafka/group.ts`: join, sync, heartbeat, over and over. */

import { taskName } from '../../streams/runtime/names.ts'
import { assignTasks } from '../../streams/transport/kafka/assignor.ts'
import type { GroupSpec, Membership, TaskId, TopicPartition } from '../../streams/transport/port.ts'
import type { Surroundings } from './client.ts'
import type { Assignment, GroupError, Joined, Metadata } from './coordinator.ts'

const HEARTBEAT_MS = 300
const RETRY_MS = 80

interface Owned {
  readonly owned: readonly TaskId[]
  readonly generation: number
}

type Turn = 'rebalance' | 'lost' | 'left'

/** The coordinator's word, or no answer. */
type Answer<T> = { readonly ok: T } | { readonly error: GroupError } | 'unreachable'

export class VirtualMembership implements Membership {
  private readonly around: Surroundings
  private readonly spec: GroupSpec
  private memberId = ''
  private generation = -1
  private owned: readonly TaskId[] = []
  private callbacks: Promise<unknown> = Promise.resolve()
  private leaving = false
  private stop: () => void = () => undefined
  private readonly stopped = new Promise<void>(resolve => {
    this.stop = resolve
  })
  private readonly running: Promise<void>

  constructor(around: Surroundings, spec: GroupSpec) {
    this.around = around
    this.spec = spec
    this.running = this.run()
  }

  async commitOffsets(positions: readonly { at: TopicPartition; offset: number }[]): Promise<void> {
    const { process, network, onOffsets } = this.around
    if (this.generation < 0 || !network.reachable(process, 'group')) return
    for (const { at, offset } of positions) onOffsets(at, offset)
  }

  async leave(): Promise<void> {
    if (!this.leaving) {
      this.leaving = true
      this.stop()
      const { memberId } = this
      if (memberId !== '')
        await this.request<void>('leave', answer => {
          this.around.broker.coordinator.leave(memberId)
          answer(undefined)
        })
    }
    await this.running
    await this.callbacks
  }

  private async run(): Promise<void> {
    while (!this.leaving) {
      const tasks = await this.joinAndSync()
      if (tasks === undefined) continue
      this.owned = tasks
      const assigned = this.callback(() => this.assign(tasks))
      await this.turn(await this.beat(), assigned)
    }
  }

  private async assign(tasks: readonly TaskId[]): Promise<void> {
    const { process } = this.around
    for (const task of tasks) process.allowed.add(taskName(task))
    await this.spec.onAssigned(tasks)
    process.allowed = new Set(tasks.map(taskName))
  }

  private async turn(turn: Turn, assigned: Promise<void>): Promise<void> {
    if (turn === 'left') return
    if (turn === 'lost') {
      this.forget()
      await this.callback(() => this.lost('the group session is gone'))
      return
    }
    const committed = assigned.then(() => this.callback(() => this.spec.onRebalance()))
    const { clock } = this.around.process
    await Promise.race([committed, clock.sleep(this.spec.sessionTimeoutMs / 2)])
  }

  private async lost(reason: string): Promise<void> {
    await this.spec.onLost(reason)
    this.around.process.allowed = new Set()
  }

  private forget(): void {
    this.memberId = ''
    this.generation = -1
    this.owned = []
  }

  private callback(work: () => Promise<void>): Promise<void> {
    const result = this.callbacks.then(work)
    this.callbacks = result
    return result
  }

  private async joinAndSync(): Promise<TaskId[] | undefined> {
    const { coordinator } = this.around.broker
    const { memberId, owned, generation, spec } = this
    const metadata: Owned = { owned, generation }
    const joined = await this.request<Joined<Metadata, Assignment>>(
      'join',
      (answer, refuse) =>
        coordinator.join(memberId, spec.sessionTimeoutMs, metadata, answer, refuse),
      spec.sessionTimeoutMs + 500,
    )
    if (typeof joined === 'string') return this.pause()
    if ('error' in joined) return this.refused(joined.error)
    this.memberId = joined.ok.memberId
    this.generation = joined.ok.generation
    const dealt = joined.ok.isLeader ? await this.deal(joined.ok.members) : undefined
    const synced = await this.request<Assignment>(
      'sync',
      (answer, refuse) => coordinator.sync(this.memberId, this.generation, dealt, answer, refuse),
      spec.sessionTimeoutMs + 500,
    )
    if (typeof synced === 'string') return this.pause()
    if ('error' in synced) return this.refused(synced.error)
    return [...synced.ok] as TaskId[]
  }

  private async pause(): Promise<undefined> {
    await Promise.race([this.stopped, this.around.process.clock.sleep(RETRY_MS)])
    return undefined
  }

  private async refused(error: GroupError): Promise<undefined> {
    if (error === 'REBALANCE_IN_PROGRESS') return undefined
    const hadTasks = this.owned.length > 0
    this.forget()
    if (hadTasks) await this.callback(() => this.lost(`the coordinator says ${error}`))
    return undefined
  }

  private async deal(
    members: readonly { memberId: string; metadata: Metadata }[],
  ): Promise<ReadonlyMap<string, Assignment>> {
    const states = members.map(({ memberId, metadata }) => ({
      memberId,
      ...(metadata as Owned),
    }))
    return assignTasks(states, await this.spec.tasks())
  }

  private async beat(): Promise<Turn> {
    const { broker } = this.around
    for (;;) {
      await Promise.race([this.stopped, this.idle()])
      if (this.leaving) return 'left'
      const answer = await this.request<GroupError | undefined>('beat', reply =>
        reply(broker.coordinator.heartbeat(this.memberId, this.generation)),
      )
      if (this.leaving) return 'left'
      if (typeof answer === 'string' || 'error' in answer) continue
      if (answer.ok === 'REBALANCE_IN_PROGRESS') return 'rebalance'
      if (answer.ok !== undefined) return 'lost'
    }
  }

  /** Until the next heartbeat. */
  private idle(): Promise<void> {
    const { process, stretch, onGapEnd } = this.around
    if (stretch() === 1) return process.clock.sleep(HEARTBEAT_MS)
    return new Promise(resolve => {
      const timer = process.later(HEARTBEAT_MS * 1000, 'beat', resolve)
      onGapEnd(() => {
        process.cancel(timer)
        process.later(0, 'beat', resolve)
      })
    })
  }

  private request<T>(
    label: string,
    serve: (answer: (value: T) => void, refuse: (error: GroupError) => void) => void,
    timeoutMs?: number,
  ): Promise<Answer<T>> {
    const { process, network } = this.around
    return new Promise(resolve => {
      if (label !== 'leave') void this.stopped.then(() => resolve('unreachable'))
      network.once<T>(
        process,
        'group',
        label,
        (answer, refuse) => serve(answer, refuse),
        {
          answered: value => resolve({ ok: value }),
          refused: error => resolve({ error: error as GroupError }),
          failed: () => resolve('unreachable'),
        },
        timeoutMs,
      )
    })
  }
}
