/**
 * Who does which task: pure. Per kind, members differ by at most one task; a member keeps what it owns wherever that
 * allows it (no assignment so balanced moves fewer tasks); what is left goes to whoever has least over all kinds.
 */
import type { TaskId } from '../port.ts'

export interface MemberState {
  readonly memberId: string
  /** What it held when it joined, and in which generation of the group it got it. */
  readonly owned: readonly TaskId[]
  readonly generation: number
}

/** Every task exactly once. The same members and tasks, in any order, give the same assignment. */
export function assignTasks(
  members: readonly MemberState[],
  tasks: readonly TaskId[],
): Map<string, TaskId[]> {
  const assignment = new Map<string, TaskId[]>()
  const ids = members.map(member => member.memberId).sort()
  for (const id of ids) assignment.set(id, [])
  if (ids.length === 0) return assignment
  const owners = ownersOf(members)
  for (const [kind, partitions] of byKind(tasks))
    assignKind(kind, partitions, ids, owners, assignment)
  return assignment
}

export const taskName = (task: TaskId): string => `${task.kind}/${task.partition}`

/** Two members may claim one task after a lost session: the newer generation is believed. */
function ownersOf(members: readonly MemberState[]): Map<string, string> {
  const owners = new Map<string, string>()
  const oldestFirst = [...members].sort(
    (a, b) => a.generation - b.generation || (a.memberId < b.memberId ? -1 : 1),
  )
  for (const member of oldestFirst)
    for (const task of member.owned) owners.set(taskName(task), member.memberId)
  return owners
}

function byKind(tasks: readonly TaskId[]): [string, number[]][] {
  const kinds = new Map<string, Set<number>>()
  for (const { kind, partition } of tasks) {
    const known = kinds.get(kind)
    if (known) known.add(partition)
    else kinds.set(kind, new Set([partition]))
  }
  return [...kinds]
    .map(([kind, partitions]): [string, number[]] => [kind, [...partitions].sort((a, b) => a - b)])
    .sort((a, b) => b[1].length - a[1].length || (a[0] < b[0] ? -1 : 1))
}

function assignKind(
  kind: string,
  partitions: readonly number[],
  ids: readonly string[],
  owners: ReadonlyMap<string, string>,
  assignment: Map<string, TaskId[]>,
): void {
  const held = new Map<string, number[]>(ids.map(id => [id, []]))
  const free: number[] = []
  for (const partition of partitions)
    (held.get(owners.get(taskName({ kind, partition })) ?? '') ?? free).push(partition)

  const load = (id: string): number => assignment.get(id)?.length ?? 0
  const share = Math.floor(partitions.length / ids.length)
  let extras = partitions.length % ids.length
  // the larger shares go first to members that already hold more, then to the least loaded
  const quota = new Map<string, number>()
  const byClaim = [...ids].sort(
    (a, b) =>
      claim(held, b, share) - claim(held, a, share) || load(a) - load(b) || (a < b ? -1 : 1),
  )
  for (const id of byClaim) quota.set(id, extras-- > 0 ? share + 1 : share)

  for (const id of ids) {
    const kept = held.get(id) ?? []
    free.push(...kept.splice(quota.get(id) ?? 0))
  }
  free.sort((a, b) => a - b)
  for (const id of ids) {
    const mine = held.get(id) ?? []
    while (mine.length < (quota.get(id) ?? 0)) mine.push(free.shift() as number)
    mine.sort((a, b) => a - b)
    assignment.get(id)?.push(...mine.map(partition => ({ kind, partition })))
  }
}

const claim = (held: ReadonlyMap<string, number[]>, id: string, share: number): number =>
  (held.get(id)?.length ?? 0) > share ? 1 : 0
