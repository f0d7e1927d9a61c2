import { action, answer, type Call, command, EXIT } from '../call.ts'
import { table } from '../terminal.ts'
import { openStoredViews } from './topk.ts'

export function inspectCommand() {
  const session = command(
    'session <user>',
    "A user's session as readers see it",
    'freshet inspect session u42',
  ).action(action(inspectSession))
  return command(
    'inspect',
    'State as a person would want to see it',
    'freshet inspect session u42',
  ).addCommand(session)
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
