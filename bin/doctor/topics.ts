/** Topics: there, as many partitions as their partners and their state, kept as they must be. */
import type { TopicNames } from '../../streams/runtime/names.ts'
import { countPartitions, internalTopics } from '../../streams/runtime/topics.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { ClusterFacts, TopicDescription, TopicSpec } from '../../streams/transport/port.ts'
import { type OutsideTopicSpec, outsideTopics } from '../topics.ts'
import { type Finding, ok, orOk, warning, wrong } from './finding.ts'

type Descriptions = ReadonlyMap<string, TopicDescription>

export interface TopicsSeen {
  readonly names: TopicNames
  readonly application: Application
  /** Names of outside topics that are not written (`topics.silent`). */
  readonly silent: ReadonlySet<string>
  readonly described: Descriptions
  readonly facts: ClusterFacts
}

/** Written by this release; the others of CONTRACT 1 are read, or made for what is to come. */
const WRITTEN: ReadonlySet<string> = new Set(['session-features', 'dead-letters', 'alerts'])

/** Every topic that is looked at. Counts of inputs that are missing stand as 1: only names are needed. */
export function topicsToSee(names: TopicNames, application: Application): string[] {
  const counts = new Map(application.kinds.map(kind => [kind.name, 1]))
  return [
    ...outsideTopics.map(topic => names.outside(topic.name)),
    ...internalTopics(application, names, counts).map(spec => spec.topic),
  ]
}

export async function checkTopics(seen: TopicsSeen): Promise<readonly Finding[]> {
  const missing = checkThere(seen)
  const partners = checkPartners(seen)
  const found = [...orOk(missing, 'topics', 'all are there'), ...partners]
  const inputs = new Set(seen.application.kinds.flatMap(kind => kind.inputs))
  const countable = [...inputs].every(input => seen.described.has(seen.names.outside(input)))
  if (countable && partners.every(finding => finding.verdict === 'ok'))
    found.push(...(await checkOwn(seen)))
  found.push(
    ...orOk(
      outsideTopics.flatMap(topic => checkOutsideSettings(topic, seen)),
      'topic settings',
      'events, erasures and items are kept as they must be',
    ),
  )
  return found
}

function checkThere({ names, application, silent, described }: TopicsSeen): Finding[] {
  const inputs = new Set(application.kinds.flatMap(kind => kind.inputs))
  return outsideTopics.flatMap(({ name }) => {
    const topic = names.outside(name)
    if (described.has(topic) || silent.has(name)) return []
    const remedy = '`freshet topics create` makes what is missing'
    if (inputs.has(name)) return [wrong('topics', `${topic} is not there; it is read`, remedy)]
    if (WRITTEN.has(name)) return [wrong('topics', `${topic} is not there; it is written`, remedy)]
    return [warning('topics', `${topic} is not there`, remedy)]
  })
}

/** Inputs of one kind of task go by the same key, so they need the same number of partitions. */
function checkPartners({ names, application, described }: TopicsSeen): Finding[] {
  const check = 'partitions'
  return application.kinds.flatMap(kind => {
    const parts = kind.inputs.flatMap(input => {
      const topic = names.outside(input)
      const partitions = described.get(topic)?.partitions
      return partitions === undefined ? [] : [{ topic, partitions }]
    })
    const [first] = parts
    if (first === undefined) return []
    const odd = parts.filter(part => part.partitions !== first.partitions)
    return odd.length === 0
      ? [ok(check, `${parts.map(part => part.topic).join(', ')}: ${first.partitions}`)]
      : odd.map(part =>
          wrong(
            check,
            `${first.topic} has ${first.partitions}, ${part.topic} has ${part.partitions}: a user's records would part company`,
            `make ${part.topic} anew with ${first.partitions} partitions`,
          ),
        )
  })
}

async function checkOwn({
  names,
  application,
  described,
  facts,
}: TopicsSeen): Promise<readonly Finding[]> {
  const check = 'own topics'
  const admin = { describe: async () => new Map(described) }
  const specs = internalTopics(application, names, await countPartitions(application, names, admin))
  const existing = specs.filter(spec => described.has(spec.topic))
  const found = existing.flatMap(spec => {
    const partitions = described.get(spec.topic)?.partitions
    const settings = facts.topics.get(spec.topic)
    return [
      ...(partitions === spec.partitions
        ? []
        : [
            wrong(
              check,
              `${spec.topic} has ${partitions} partitions, its input has ${spec.partitions}: keys would move away from their state`,
              `put the input back to ${partitions} partitions, or begin a new generation with \`freshet reset\``,
            ),
          ]),
      ...(settings ? checkOwnSettings(spec, settings) : []),
    ]
  })
  return orOk(
    found,
    check,
    existing.length === specs.length
      ? `${specs.length}, as they were made`
      : `${existing.length} of ${specs.length} are there; \`freshet run\` makes the others`,
  )
}

/** Settings that would lose state if they differed; the others only cost disk. */
const GRAVE = new Set(['cleanup.policy', 'max.message.bytes', 'retention.ms', 'retention.bytes'])

function checkOwnSettings(spec: TopicSpec, settings: Readonly<Record<string, string>>): Finding[] {
  return Object.entries(spec.config).flatMap(([name, wanted]) => {
    const is = settings[name]
    if (is === undefined || is === wanted) return []
    const report = GRAVE.has(name) ? wrong : warning
    return [
      report('own topics', `${spec.topic}: ${name} is ${is}`, alter(spec.topic, name, wanted)),
    ]
  })
}

const alter = (topic: string, name: string, value: string): string =>
  `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${name}=${value}`

function checkOutsideSettings(
  { name, config }: OutsideTopicSpec,
  { names, facts }: TopicsSeen,
): Finding[] {
  const check = 'topic settings'
  const topic = names.outside(name)
  const settings = facts.topics.get(topic)
  if (settings === undefined) return []
  const found: Finding[] = []
  const policy = settings['cleanup.policy'] ?? ''
  const wanted = config['cleanup.policy']
  if (policy !== wanted)
    found.push(
      wrong(
        check,
        wanted === 'delete'
          ? `${topic} has cleanup.policy=${policy}: compaction keeps one record a key and removes the others unread`
          : `${topic} has cleanup.policy=${policy}: records that are still true would be removed by age`,
        alter(topic, 'cleanup.policy', wanted),
      ),
    )
  const copies = Number(settings['min.insync.replicas'])
  if (facts.brokers.length >= 3 && copies < 2)
    found.push(
      warning(
        check,
        `${topic} has min.insync.replicas=${copies}: an acknowledged event can be lost with one broker`,
        alter(topic, 'min.insync.replicas', '2'),
      ),
    )
  if (name === 'erasures') {
    const kept = retention(settings)
    const events = facts.topics.get(names.outside('events'))
    if (events && kept < retention(events))
      found.push(
        warning(
          check,
          `${topic} is kept for less time than the events: a replay of the log would bring erased users back`,
          alter(topic, 'retention.ms', config['retention.ms']),
        ),
      )
  }
  return found
}

/** -1 is for ever. */
function retention(settings: Readonly<Record<string, string>>): number {
  const ms = Number(settings['retention.ms'])
  return ms < 0 ? Number.POSITIVE_INFINITY : ms
}
