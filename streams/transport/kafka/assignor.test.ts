import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TaskId } from '../port.ts'
import { assignTasks, type MemberState, taskName } from './assignor.ts'

const kinds = ['global', 'item', 'learner', 'user']
const tasks = fc
  .tuple(...kinds.map(() => fc.integer({ min: 0, max: 9 })))
  .map(counts =>
    counts.flatMap((count, k) =>
      Array.from({ length: count }, (_, partition) => ({ kind: kinds[k], partition })),
    ),
  )

/** Members with claims dealt from the tasks (and some that no longer exist), each task to at most one. */
const groups = fc.tuple(tasks, fc.integer({ min: 1, max: 6 })).chain(([all, count]) =>
  fc
    .array(fc.integer({ min: -1, max: count - 1 }), {
      minLength: all.length,
      maxLength: all.length,
    })
    .map(owners => {
      const members: MemberState[] = Array.from({ length: count }, (_, m) => ({
        memberId: `m${m}`,
        generation: 1,
        owned: [
          ...all.filter((_, i) => owners[i] === m),
          ...(m === 0 ? [{ kind: 'gone', partition: 7 }] : []),
        ],
      }))
      return { all, members }
    }),
)

const ofKind = (given: readonly TaskId[], kind: string): TaskId[] =>
  given.filter(task => task.kind === kind)

/** The most tasks of a kind that any balanced assignment lets their owners keep, by trying all. */
function mostKept(owned: readonly number[], total: number): number {
  const share = Math.floor(total / owned.length)
  const extras = total % owned.length
  let best = 0
  for (let larger = 0; larger < 1 << owned.length; larger++) {
    const chosen = owned.map((_, m) => (larger >> m) & 1)
    if (chosen.reduce((a, b) => a + b, 0) !== extras) continue
    const kept = owned.reduce((sum, has, m) => sum + Math.min(has, share + chosen[m]), 0)
    best = Math.max(best, kept)
  }
  return best
}

describe('task assignor', () => {
  it('gives every task exactly once, balanced within one per kind', () => {
    fc.assert(
      fc.property(groups, ({ all, members }) => {
        const assignment = assignTasks(members, all)
        const given = [...assignment.values()].flat().map(taskName)
        expect(given.sort()).toEqual(all.map(taskName).sort())
        for (const kind of kinds) {
          const sizes = [...assignment.values()].map(mine => ofKind(mine, kind).length)
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  it('moves no more than balance asks for', () => {
    fc.assert(
      fc.property(groups, ({ all, members }) => {
        const assignment = assignTasks(members, all)
        for (const kind of kinds) {
          const kept = members.reduce((sum, member) => {
            const mine = new Set((assignment.get(member.memberId) ?? []).map(taskName))
            return sum + ofKind(member.owned, kind).filter(task => mine.has(taskName(task))).length
          }, 0)
          const owned = members.map(member => ofKind(member.owned, kind).length)
          expect(kept).toBe(mostKept(owned, ofKind(all, kind).length))
        }
      }),
    )
  })

  it('is the same whatever the order of members and tasks, and stays as it is when asked again', () => {
    fc.assert(
      fc.property(groups, ({ all, members }) => {
        const first = assignTasks(members, all)
        expect(assignTasks([...members].reverse(), [...all].reverse())).toEqual(first)
        const settled = members.map(member => ({
          ...member,
          owned: first.get(member.memberId) ?? [],
        }))
        expect(assignTasks(settled, all)).toEqual(first)
      }),
    )
  })

  it('gives single tasks of different kinds to different members', () => {
    const single = ['a', 'b', 'c'].map(kind => ({ kind, partition: 0 }))
    const members = ['x', 'y', 'z'].map(memberId => ({ memberId, owned: [], generation: -1 }))
    const sizes = [...assignTasks(members, single).values()].map(mine => mine.length)
    expect(sizes).toEqual([1, 1, 1])
  })

  it('believes the newer generation where two members claim one task', () => {
    const task = { kind: 'user', partition: 0 }
    const members = [
      { memberId: 'a', owned: [task], generation: 3 },
      { memberId: 'b', owned: [task], generation: 4 },
    ]
    expect(assignTasks(members, [task]).get('b')).toEqual([task])
  })
})
