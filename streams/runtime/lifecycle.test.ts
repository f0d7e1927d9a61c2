/** The table of a task's life, against the design's words: every move of every state, allowed or refused. */
import { describe, expect, it } from 'vitest'
import { Lifecycle, type TaskState } from './lifecycle.ts'

const onTheWay: readonly TaskState[] = ['created', 'claiming', 'restoring', 'waiting', 'running']
const states: readonly TaskState[] = [...onTheWay, 'committing', 'closing', 'closed', 'lost']

/** created -> claiming -> ... -> running <-> committing; any that lives -> closing -> closed; any but closed -> lost. */
function designed(from: TaskState, to: TaskState): boolean {
  if (to === 'lost') return from !== 'closed' && from !== 'lost'
  if (to === 'closed') return from === 'closing' || from === 'lost'
  if (to === 'closing') return !['closing', 'closed', 'lost'].includes(from)
  if (to === 'committing') return from === 'running'
  if (to === 'running' && from === 'committing') return true
  const step = onTheWay.indexOf(to)
  return step > 0 && onTheWay.indexOf(from) === step - 1
}

/** The shortest way there. */
function lifeIn(state: TaskState): Lifecycle {
  const life = new Lifecycle('user-0')
  const way: Partial<Record<TaskState, readonly TaskState[]>> = {
    committing: [...onTheWay.slice(1), 'committing'],
    closing: ['closing'],
    closed: ['closing', 'closed'],
    lost: ['lost'],
  }
  for (const step of way[state] ?? onTheWay.slice(1, onTheWay.indexOf(state) + 1)) life.to(step)
  return life
}

describe('the life of a task', () => {
  for (const from of states)
    it(`${from}: goes where the design says and nowhere else`, () => {
      for (const to of states) {
        const life = lifeIn(from)
        expect(life.state).toBe(from)
        if (designed(from, to)) {
          life.to(to)
          expect(life.state).toBe(to)
        } else {
          expect(() => life.to(to), `${from} -> ${to}`).toThrow(
            `task user-0 can't go from ${from} to ${to}`,
          )
          expect(life.state).toBe(from)
        }
      }
    })
})
