import { action, answer, type Call, command, EXIT } from '../call.ts'
import { openStoredViews } from '../compose.ts'
import { inspectItem, inspectTask, inspectUser } from '../inspect.ts'
import { table } from '../terminal.ts'

export function inspectCommand() {
  const session = command(
    'session <user>',
    "A user's session as readers see it",
    'freshet inspect session u42',
  ).action(action(inspectSession))
  const item = command(
    'item <item>',
    'An item: catalog, counts, neighbours, vectors. From the log; needs no worker and writes nothing',
    'freshet inspect item i7',
  ).action(action(inspectItem))
  const user = command(
    'user <user>',
    'A user: session, positives, what was finished or refused, creators, what was shown. From the log; needs no worker and writes nothing',
    'freshet inspect user u42',
  ).action(action(inspectUser))
  const task = command(
    'task <kind> <partition>',
    'A task: owner, commit, inputs and lag, stores; of the learner also what it learnt. From the log; needs no worker and writes nothing',
    'freshet inspect task learner 0',
  ).action(action(inspectTask))
  return command('inspect', 'State as a person would want to see it', 'freshet inspect session u42')
    .addCommand(session)
    .addCommand(item)
    .addCommand(user)
    .addCommand(task)
}

const TIMES = new Set(['started_at', 'last_event_at'])

async function inspectSession(call: Call, user: string): Promise<number> {
  const views = openStoredViews(call)
  try {
    const session = await views.hash(`session:${user}`)
    if (session === null) {
      answer(
        call,
        null,
        () => `no session of ${user} (sessions live for the gap and an hour after the last event)`,
      )
      return EXIT.failed
    }
    answer(call, session, () =>
      table([
        ['field', 'value'],
        ...Object.entries(session).map(([field, value]) => [
          field,
          TIMES.has(field) ? `${value}  (${new Date(Number(value)).toISOString()})` : value,
        ]),
      ]),
    )
    return EXIT.done
  } finally {
    await views.close()
  }
}
