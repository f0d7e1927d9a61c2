/**
 * The group's coordinator: members with session timeouts, generations, and the join barrier: a rebalance waits for all
 * members it knows, at most a session timeout, then the leader deals and the others wait for what it dealt. A member that is
 * not heard of for its session timeout is left out and learns it from its next request.
 */
import type { Scheduler } from './scheduler.ts'

export type GroupError = 'UNKNOWN_MEMBER_ID' | 'ILLEGAL_GENERATION' | 'REBALANCE_IN_PROGRESS'

export interface Joined<M, A> {
  readonly memberId: string
  readonly generation: number
  /** Only for the leader. */
  readonly members: readonly { readonly memberId: string; readonly metadata: M }[]
  readonly isLeader: boolean
  readonly assignment?: A
}

export type Metadata = unknown
export type Assignment = readonly unknown[]

interface Member {
  readonly id: string
  readonly timeoutMs: number
  metadata: Metadata
  heardAt: number
  joining: ((joined: Joined<Metadata, Assignment>) => void) | undefined
  syncing: { answer: (a: Assignment) => void; refuse: (e: GroupError) => void } | undefined
  assignment: Assignment
}

export class Coordinator {
  /** While set, members are left out for nothing (time flies). */
  patient = false
  private readonly scheduler: Scheduler
  private readonly members = new Map<string, Member>()
  private state: 'stable' | 'preparing' | 'completing' = 'stable'
  private generation = 0
  private ids = 0
  private round = 0

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler
  }

  join(
    memberId: string,
    timeoutMs: number,
    metadata: Metadata,
    answer: (joined: Joined<Metadata, Assignment>) => void,
    refuse: (error: GroupError) => void,
  ): void {
    let member = this.members.get(memberId)
    if (!member) {
      if (memberId !== '') {
        refuse('UNKNOWN_MEMBER_ID')
        return
      }
      const heardAt = this.scheduler.now
      const id = `m${this.ids++}`
      const fresh = { id, timeoutMs, metadata, heardAt, joining: undefined, syncing: undefined }
      member = { ...fresh, assignment: [] }
      this.members.set(id, member)
      this.watch(member)
    }
    member.metadata = metadata
    member.heardAt = this.scheduler.now
    member.joining = answer
    if (this.state !== 'preparing') this.prepare()
    this.completeJoin(false)
  }

  sync(
    memberId: string,
    generation: number,
    dealt: ReadonlyMap<string, Assignment> | undefined,
    answer: (assignment: Assignment) => void,
    refuse: (error: GroupError) => void,
  ): void {
    const member = this.members.get(memberId)
    if (!member) {
      refuse('UNKNOWN_MEMBER_ID')
      return
    }
    if (generation !== this.generation) {
      refuse('ILLEGAL_GENERATION')
      return
    }
    if (this.state === 'preparing') {
      refuse('REBALANCE_IN_PROGRESS')
      return
    }
    member.heardAt = this.scheduler.now
    if (this.state === 'stable') {
      answer(member.assignment)
      return
    }
    member.syncing = { answer, refuse }
    if (dealt === undefined) return
    this.state = 'stable'
    for (const one of this.members.values()) {
      one.assignment = dealt.get(one.id) ?? []
      one.heardAt = this.scheduler.now
      one.syncing?.answer(one.assignment)
      one.syncing = undefined
    }
  }

  heartbeat(memberId: string, generation: number): GroupError | undefined {
    const member = this.members.get(memberId)
    if (!member) return 'UNKNOWN_MEMBER_ID'
    if (generation !== this.generation) return 'ILLEGAL_GENERATION'
    member.heardAt = this.scheduler.now
    return this.state === 'preparing' ? 'REBALANCE_IN_PROGRESS' : undefined
  }

  leave(memberId: string): void {
    const member = this.members.get(memberId)
    if (member) this.remove(member)
  }

  private prepare(): void {
    this.state = 'preparing'
    const round = ++this.round
    for (const member of this.members.values()) {
      member.syncing?.refuse('REBALANCE_IN_PROGRESS')
      member.syncing = undefined
    }
    const limit = Math.max(0, ...[...this.members.values()].map(one => one.timeoutMs))
    this.scheduler.after(limit, 'rebalance', undefined, () => {
      if (this.state === 'preparing' && this.round === round) this.completeJoin(true)
    })
  }

  private completeJoin(late: boolean): void {
    if (this.state !== 'preparing') return
    const waitingFor = [...this.members.values()].filter(member => !member.joining)
    if (waitingFor.length > 0 && !late) return
    for (const member of waitingFor) this.members.delete(member.id)
    if (this.members.size === 0) {
      this.state = 'stable'
      return
    }
    this.generation++
    this.state = 'completing'
    const members = [...this.members.values()].map(({ id, metadata }) => ({
      memberId: id,
      metadata,
    }))
    for (const member of this.members.values()) {
      member.heardAt = this.scheduler.now
      const isLeader = member.id === members[0].memberId
      member.joining?.({
        memberId: member.id,
        generation: this.generation,
        members: isLeader ? members : [],
        isLeader,
      })
      member.joining = undefined
    }
  }

  private watch(member: Member): void {
    const left = this.patient ? 30_000 : member.heardAt + member.timeoutMs - this.scheduler.now
    this.scheduler.after(Math.max(1, left), 'session', undefined, () => {
      if (this.members.get(member.id) !== member) return
      const silentMs = this.scheduler.now - member.heardAt
      if (silentMs < member.timeoutMs || member.joining || this.patient) {
        if (this.patient || member.joining) member.heardAt = this.scheduler.now
        this.watch(member)
      } else this.remove(member)
    })
  }

  private remove(member: Member): void {
    this.members.delete(member.id)
    if (this.members.size === 0) {
      this.state = 'stable'
      return
    }
    if (this.state !== 'preparing') this.prepare()
    this.completeJoin(false)
  }
}
