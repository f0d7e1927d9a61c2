/** `freshet experiments`: what is compared with what, put on the topic, ended, and who is in which arm. */

import type { Experiment } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { conflictsOf, problemsOf } from '../../topologies/experiments/check.ts'
import { parseDefinition } from '../../topologies/experiments/definition-file.ts'
import { isHoldout } from '../../topologies/topk/exploration.ts'
import { action, answer, type Call, command, EXIT, notDone } from '../call.ts'
import { type OpenedExperiments, openExperiments } from '../experiments-topic.ts'
import { readBytes } from '../model-files.ts'
import { percent, table, time } from '../terminal.ts'

export function experimentsCommand() {
  const list = command(
    'list',
    'The experiments on the topic, and the built-in one',
    'freshet experiments list',
  ).action(action(list_))
  const put = command(
    'put <file>',
    'Checks an experiment and puts it on the topic; workers deal its arms within a second',
    'freshet experiments put rank7.json',
  ).action(action(put_))
  const stop = command(
    'stop <experiment>',
    'Ends an experiment now: no list carries its arms any more, and its figures stay',
    'freshet experiments stop rank7',
  ).action(action(stop_))
  const assign = command(
    'assign <experiment> <user>',
    'Which arm a user is in',
    'freshet experiments assign rank7 u42',
  ).action(action(assign_))
  const made = command('experiments', 'Experiments', 'freshet experiments list')
  for (const sub of [list, put, stop, assign]) made.addCommand(sub)
  return made
}

async function list_(call: Call): Promise<number> {
  return withExperiments(call, async topic => {
    const book = await topic.read()
    const now = systemClock.wall()
    const all = book.all().map(({ name, arms, control, metrics, guardrails, start, end }) => ({
      experiment: name,
      state: now < start ? 'to begin' : now < end ? 'runs' : 'ended',
      // shares of all users; of the built-in one those that are measured
      arms: book.put().get(name)?.arms ?? arms,
      control,
      metrics,
      guardrails,
      start: start === 0 ? null : new Date(start).toISOString(),
      end: end === Number.POSITIVE_INFINITY ? null : new Date(end).toISOString(),
    }))
    answer(call, all, () =>
      table([
        ['experiment', '', 'arms (control first)', 'decides', 'guardrails', 'from', 'to'],
        ...all.map(each => [
          each.experiment,
          each.state,
          [...each.arms]
            .sort((a, b) => Number(b.name === each.control) - Number(a.name === each.control))
            .map(({ name, share }) => `${name} ${percent(share)}`)
            .join(', '),
          each.metrics.join(', '),
          Object.entries(each.guardrails)
            .map(([name, margin]) => `${name} ${margin}`)
            .join(', '),
          each.start === null ? '' : time(Date.parse(each.start)),
          each.end === null ? '' : time(Date.parse(each.end)),
        ]),
      ]),
    )
    return EXIT.done
  })
}

async function put_(call: Call, file: string): Promise<number> {
  const now = systemClock.wall()
  const next = parseDefinition(readJson(file), now)
  const problems = problemsOf(next, call.values.ranker)
  if (problems.length > 0)
    throw new FreshetError('CALL_INVALID', `${file} does not fit: ${problems.join('; ')}`)
  return withExperiments(call, async topic => {
    const standing = (await topic.read()).put()
    const before = standing.get(next.experiment)
    // a file without a start goes on with the one that stands
    const experiment =
      before !== undefined && !('start' in (readJson(file) as object))
        ? { ...next, start: before.start }
        : next
    const conflicts = conflictsOf(experiment, standing, now)
    if (conflicts.length > 0) return notDone(conflicts.join('; '))
    await topic.put(experiment)
    answer(call, { put: experiment }, () => putText(experiment, now))
    return EXIT.done
  })
}

function putText({ experiment, arms, control, start, end }: Experiment, now: number): string {
  const sum = arms.reduce((total, { share }) => total + share, 0)
  return [
    `${experiment} ${start > now ? `begins at ${time(start)}` : 'runs'}, ${end === null ? 'until it is stopped' : `until ${time(end)}`}`,
    `${arms.map(({ name, share }) => `${name} ${percent(share)}`).join(', ')} of all users, compared with ${control}; ${sum < 1 - 1e-9 ? 'the others are in no arm' : 'everybody is in one'}`,
  ].join('\n')
}

async function stop_(call: Call, name: string): Promise<number> {
  return withExperiments(call, async topic => {
    const standing = (await topic.read()).put()
    const experiment = standing.get(name)
    if (experiment === undefined) return notDone(missing(name, [...standing.keys()]))
    const end = systemClock.wall()
    if (experiment.end !== null && experiment.end <= end)
      return notDone(`${name} ended at ${new Date(experiment.end).toISOString()}`)
    // one that has not begun must still begin before it ends
    const start = Math.min(experiment.start, end - 1)
    await topic.put({ ...experiment, start, end })
    answer(call, { stopped: name, end: new Date(end).toISOString() }, () =>
      [
        `${name} is stopped; lists lose its arms as they are built anew`,
        `its figures stay: SELECT * FROM ${call.values['clickhouse.database']}.v_experiments WHERE experiment = '${name}' ORDER BY time DESC LIMIT 50`,
      ].join('\n'),
    )
    return EXIT.done
  })
}

async function assign_(call: Call, name: string, user: string): Promise<number> {
  return withExperiments(call, async topic => {
    const book = await topic.read()
    const definition = book.get(name)
    if (definition === undefined)
      return notDone(
        missing(
          name,
          book.all().map(each => each.name),
        ),
      )
    const now = systemClock.wall()
    const arm = definition.armOf(user)
    const runs = now >= definition.start && now < definition.end
    const isHeldOut = name !== 'exploration' && isHoldout(user, call.values)
    const isListed = runs && arm !== null && !isHeldOut
    answer(call, { experiment: name, user, arm, listed: isListed }, () =>
      arm === null
        ? `${user} is in no arm of ${name}`
        : `${user} is in arm ${arm} of ${name}${isListed ? '' : runs ? ', but held out of exploration: the lists carry no arm' : ', which does not run now'}`,
    )
    return EXIT.done
  })
}

function missing(name: string, known: readonly string[]): string {
  return `there is no experiment ${name}; there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ') || 'none'}: freshet experiments put FILE.json`
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readBytes(file).toString('utf8'))
  } catch (error) {
    if (error instanceof FreshetError) throw error
    throw new FreshetError('CALL_INVALID', `${file} is no JSON: ${messageOf(error)}`, error)
  }
}

async function withExperiments(
  call: Call,
  work: (topic: OpenedExperiments) => Promise<number>,
): Promise<number> {
  const opened = await openExperiments(call)
  try {
    return await work(opened)
  } finally {
    await opened.close()
  }
}
