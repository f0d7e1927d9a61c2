/** `--state live|NAME`: what a replay goes on from instead of nothing. */
import { rmSync } from 'node:fs'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { type CopySettings, copyLive, copyReplay } from '../../replay/state-copy/copy.ts'
import { FreshetError } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { environmentName } from '../../streams/options.ts'
import { lastCommit } from '../../streams/runtime/last-commit.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { Transport } from '../../streams/transport/port.ts'
import type { Call, Values } from '../call.ts'
import { openTransport, REACH_MS, stateInForce } from '../compose.ts'
import { createLogger } from '../logger.ts'
import { refuseOtherState } from './kept-options.ts'
import { countsOf } from './open-part.ts'

export interface ReusedState {
  /** Where an input goes on, as of now; undefined: nothing of it was taken in. */
  readonly position: (topic: string, partition: number) => number | undefined
  /** How many partitions of an input it knows. */
  readonly partitions: (topic: string) => number | undefined
  /** Into the folder of a replay that is not there yet; gives the spec with where it goes on. Errors: those of the copy. */
  copy(folder: ReplayFolder, spec: ReplaySpec): Promise<ReplaySpec>
}

export interface ReuseAsked {
  readonly call: Call
  readonly state: string
  readonly set: Readonly<Record<string, string>>
  readonly topologies: string
  readonly application: Application
  readonly values: Values
}

/** undefined: it begins empty. Errors: CALL_INVALID for a state that there is not, is not at its end, or contradicts the call. */
export async function reusedState(asked: ReuseAsked): Promise<ReusedState | undefined> {
  if (asked.state === 'empty') return undefined
  return asked.state === 'live' ? ofLive(asked) : ofReplay(asked)
}

async function ofLive({ call, set, application, values }: ReuseAsked): Promise<ReusedState> {
  // what is no flag holds for the live workers too
  refuseOtherState(
    set,
    name =>
      call.resolved.find(one => one.name === name)?.from === 'flag'
        ? process.env[environmentName(name)]
        : set[name],
    'live',
  )
  const withLive = async <T>(work: (transport: Transport) => Promise<T>): Promise<T> => {
    const log = createLogger(values['log.level'])
    const transport = await openTransport({ values, log, metrics: noMetrics }, REACH_MS, true)
    try {
      return await work(transport)
    } finally {
      await transport.close()
    }
  }
  return {
    ...(await withLive(transport => livePositions(transport, values, application))),
    copy: (folder, spec) =>
      withLive(async transport => {
        const { names } = await stateInForce(values, transport)
        return copied(
          folder,
          spec,
          settings => copyLive(transport, names, settings, folder.stateDir),
          application,
        )
      }),
  }
}

async function livePositions(
  transport: Transport,
  values: Values,
  { kinds }: Application,
): Promise<Pick<ReusedState, 'position' | 'partitions'>> {
  const { names } = await stateInForce(values, transport)
  const found = await transport.topics.describe(kinds.map(kind => names.changelog(kind.name)))
  const positions = new Map<string, number>()
  const partitions = new Map<string, number>()
  for (const { name, inputs } of kinds) {
    if (inputs.length === 0) continue
    const topic = names.changelog(name)
    const there = found.get(topic)
    if (there === undefined)
      throw new FreshetError(
        'CALL_INVALID',
        `there is no live state of ${name} tasks to go on from (topic ${topic}): has \`freshet run\` run with this topics.prefix? Begin with --state empty`,
      )
    for (const input of inputs) partitions.set(input, there.partitions)
    for (let partition = 0; partition < there.partitions; partition++) {
      const commit = await lastCommit(transport, { topic, partition })
      for (const input of inputs) {
        const position = commit?.positions.get(input)
        if (position !== undefined) positions.set(`${input}-${partition}`, position)
      }
    }
  }
  return {
    position: (topic, partition) => positions.get(`${topic}-${partition}`),
    partitions: topic => partitions.get(topic),
  }
}

function ofReplay({ call, state, set, topologies, application }: ReuseAsked): ReusedState {
  const from = new ReplayFolder(call.values['data.dir'], state)
  const spec = from.spec()
  if (!from.checkpoint()?.done)
    throw new FreshetError(
      'CALL_INVALID',
      `replay ${state} is not at its end, so its state is not to go on from: \`freshet replay resume ${state}\` brings it there`,
    )
  refuseOtherState(set, name => spec.set[name], state)
  const before = new Set(spec.topologies.split(','))
  const added = topologies.split(',').filter(name => !before.has(name))
  if (added.length > 0)
    throw new FreshetError(
      'CALL_INVALID',
      `the state of ${state} knows nothing of ${added.join(', ')}, which would begin in the middle: name others with --topology, or begin with --state empty`,
    )
  return {
    position: (topic, partition) => spec.ranges[topic]?.[partition]?.[1],
    partitions: topic => spec.ranges[topic]?.length,
    copy: (folder, next) =>
      copied(folder, next, settings => copyReplay(from, settings, folder.stateDir), application),
  }
}

async function copied(
  folder: ReplayFolder,
  spec: ReplaySpec,
  copy: (settings: CopySettings) => ReturnType<typeof copyLive>,
  application: Application,
): Promise<ReplaySpec> {
  // what a copy left that was cut short
  rmSync(folder.stateDir, { recursive: true, force: true })
  const counts = countsOf(application, spec)
  const { checkpoint, positions, generation } = await copy({ application, counts })
  await folder.putCheckpoint(checkpoint)
  const ranges = Object.fromEntries(
    Object.entries(spec.ranges).map(([topic, parts]) => [
      topic,
      parts.map(([from, to], partition) => {
        const goesOn = positions.get(topic)?.[partition] ?? from
        // live may have come further since the plan was made
        return [goesOn, Math.max(goesOn, to)] as const
      }),
    ]),
  )
  return { ...spec, ranges, generation }
}
