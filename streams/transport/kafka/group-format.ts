/**
 * What members tell each other through the group coordinator, in Kafka's consumer protocol (version 0: topics, user
 * data) so that group tools show members and topics. The tasks themselves travel as JSON in the user data.
 */
import type { TaskId } from '../port.ts'
import type { MemberState } from './assignor.ts'
import { WireReader, WireWriter } from './wire.ts'

/** Members with another protocol name cannot join the same group: raise it with the format. */
export const PROTOCOL = 'freshet-tasks-1'

export function encodeMember(
  topics: readonly string[],
  state: { owned: readonly TaskId[]; generation: number; identity: string },
): Buffer {
  const w = new WireWriter()
  w.int16(0).array(topics, topic => {
    w.string(topic)
  })
  return w.bytes(Buffer.from(JSON.stringify(state))).done()
}

export interface MemberMetadata extends MemberState {
  /** What it works on; undefined of a program that does not say. */
  readonly identity: string | undefined
}

export function decodeMember(memberId: string, metadata: Buffer): MemberMetadata {
  const r = new WireReader(metadata)
  r.int16()
  r.array(() => r.string())
  const state = JSON.parse((r.bytes() ?? Buffer.from('{}')).toString()) as Partial<MemberMetadata>
  const { owned = [], generation = -1, identity } = state
  return { memberId, owned, generation, identity }
}

/** What a member is told whose identity is not the group's. */
export function encodeRefusal(identity: string): Buffer {
  const w = new WireWriter()
  w.int16(0).array([], () => undefined)
  return w.bytes(Buffer.from(JSON.stringify({ refusedBy: identity }))).done()
}

export function encodeAssignment(
  tasks: readonly TaskId[],
  topicsOf: (kind: string) => readonly string[],
): Buffer {
  const topics = new Map<string, number[]>()
  for (const { kind, partition } of tasks)
    for (const topic of topicsOf(kind)) topics.set(topic, [...(topics.get(topic) ?? []), partition])
  const w = new WireWriter()
  w.int16(0).array([...topics], ([topic, partitions]) => {
    w.string(topic).array(partitions, partition => {
      w.int32(partition)
    })
  })
  return w.bytes(Buffer.from(JSON.stringify(tasks))).done()
}

/** A member that the leader gave nothing gets no bytes at all; one that was refused gets the group's identity. */
export function decodeAssignment(
  assignment: Buffer | null,
): TaskId[] | { readonly refusedBy: string } {
  if (assignment === null || assignment.length === 0) return []
  const r = new WireReader(assignment)
  r.int16()
  r.array(() => {
    r.string()
    r.array(() => r.int32())
  })
  return JSON.parse((r.bytes() ?? Buffer.from('[]')).toString()) as TaskId[] | { refusedBy: string }
}
