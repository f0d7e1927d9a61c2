import { createInterface } from 'node:readline/promises'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { Reset, type ResetPlan } from '../../streams/runtime/reset.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { namesOf, openTransport, REACH_MS } from '../compose.ts'
import { nameOnly } from '../doctor/examine.ts'
import { createLogger } from '../logger.ts'

export function resetCommand() {
  return command(
    'reset',
    'Begins the state of the whole application anew, in a new generation, from what the input topics still hold; all workers must be stopped',
    'freshet reset --yes',
  )
    .option('--yes', 'do it without asking; needed where standard input is no terminal', false)
    .action(action(reset))
}

async function reset(call: Call): Promise<number> {
  const { values } = call
  const log = createLogger(values['log.level'])
  const transport = await openTransport({ values, log, metrics: noMetrics }, REACH_MS)
  try {
    const application = values['application.id']
    const { kinds } = await nameOnly({ ...values, topologies: 'all' })
    const work = new Reset({
      transport,
      names: namesOf(values),
      application,
      kinds: kinds.map(kind => kind.name),
      wall: systemClock.wall,
    })
    const plan = await work.plan()
    if (plan === undefined) {
      answer(call, { generation: null, removed: [] }, () => 'there is no state to reset')
      return EXIT.done
    }
    process.stderr.write(`${textOf(plan, call)}\n`)
    if (call.flags.yes !== true && !(await agreed())) {
      answer(call, { generation: plan.from?.generation ?? null, removed: [] }, () => 'not reset')
      return EXIT.failed
    }
    await work.perform(plan)
    answer(
      call,
      { generation: plan.to, removed: plan.topics },
      () => `generation ${plan.to} has begun; \`freshet run\` builds it`,
    )
    return EXIT.done
  } finally {
    await transport.close()
  }
}

function textOf({ from, to, topics }: ResetPlan, { values }: Call): string {
  const application = values['application.id']
  const start = values['input.start']
  return [
    `Application ${application}, topics ${values['topics.prefix']}*:`,
    `- generation ${from?.generation ?? '(unknown)'} ends, ${to} begins${from && from.application !== application ? `; the topics pass from application ${from.application} to ${application}` : ''}`,
    `- removed: ${topics.length === 0 ? 'nothing' : topics.join(', ')}`,
    `- users, sessions, lists, counts, labels and what was learnt begin anew, from the ${start === 'earliest' ? 'earliest records that the input topics still hold' : 'records that come from then on'} (input.start=${start})`,
    '- stays: the input topics and all others for readers outside; Redis, where each key is replaced once its successor is made, and lives out its time otherwise; the rows of ClickHouse, where a row made again replaces the old one',
  ].join('\n')
}

/** Errors: CALL_INVALID where nobody can be asked. */
async function agreed(): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new FreshetError(
      'CALL_INVALID',
      'standard input is no terminal, so nobody can be asked: add --yes to do what stands above',
    )
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await terminal.question('Reset? [y/N] ')).trim())
  } finally {
    terminal.close()
  }
}
