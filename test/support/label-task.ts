/** A user task with the labels stage, and what it tells. */
import { createLabelsStage } from '../../topologies/labels/stage.ts'
import type { Objectives } from '../../topologies/labels/target.ts'
import type { LabelFact } from '../../topologies/user/labels-port.ts'
import { DAY, HOUR, impression, MINUTE, START, UserTask } from './user-task.ts'

const times = {
  startWithinMs: 10 * MINUTE,
  joinWithinMs: 30 * MINUTE,
  silenceMs: 5 * MINUTE,
  longestMs: 4 * HOUR,
  returnWithinMs: 0,
}

export interface LabelTask {
  readonly task: UserTask
  readonly facts: LabelFact[]
  /** As `facts`, once their whole target is known. */
  readonly complete: LabelFact[]
}

export function labelTask(asks: Partial<Objectives> = { graded: 1, completion: 0.3 }): LabelTask {
  const facts: LabelFact[] = []
  const complete: LabelFact[] = []
  const task = new UserTask({
    stages: (ctx, users) => [
      createLabelsStage(ctx, {
        users,
        times: { ...times, returnWithinMs: asks.return1d ? DAY : 0 },
        objectives: { click: 0, graded: 0, completion: 0, return1d: 0, ...asks },
        feedback: { like: 0.25, share: 0.5, hide: -1 },
        slackMs: 5 * MINUTE,
        examples: true,
        answers: ({ requestId }, _item, at) => (requestId === 'r' ? 77 : at % 1_000),
        pseudonymKey: 'the key',
        pseudonymKeyId: 'k1',
        sinks: [{ label: fact => facts.push({ ...fact }) }],
        complete: [{ label: fact => complete.push({ ...fact }) }],
      }),
    ],
  })
  return { task, facts, complete }
}

export const rowsOf = (task: UserTask) =>
  task.commits.flatMap(commit => commit.effects.blocks.flatMap(block => [...(block.rows ?? [])]))

/** What a reader sees: the newest revision of each key. */
export function newest(task: UserTask): Map<string, Record<string, unknown>> {
  const byKey = new Map<string, Record<string, unknown>>()
  for (const row of rowsOf(task)) {
    const key = `${row.user}/${row.request}/${row.item}/${row.ts}`
    const known = byKey.get(key)
    if (!known || Number(known.revision) < Number(row.revision)) byKey.set(key, row)
  }
  return byKey
}

/** Moves the watermark far on and lets everything that is due come out. */
export function settle(task: UserTask): void {
  task.send(impression('last', 'z', START + 60 * DAY, { requestId: 'last' }))
  task.tick()
  task.commit()
}
