/** Group membership against a real coordinator: who gets what when members come, leave, fall silent or are thrown out. */
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LinkFactory } from '../../streams/transport/kafka/connections.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { Membership, TaskId, Transport } from '../../streams/transport/port.ts'
import { kafkaBrokers, uniqueName } from '../support/services.ts'
import { pause, until } from '../support/until.ts'

const nameOf = (task: TaskId): string => `${task.kind}/${task.partition}`

const TASKS: TaskId[] = [
  ...[0, 1, 2, 3].map(partition => ({ kind: 'user', partition })),
  ...[0, 1].map(partition => ({ kind: 'item', partition })),
  { kind: 'learner', partition: 0 },
]

let brokers: string[]
let transport: Transport
const open: Member[] = []

beforeAll(async () => {
  brokers = (await kafkaBrokers()).split(',')
  transport = await createKafkaTransport({ brokers, clientId: 'group', waitMs: 10_000 })
})
afterAll(async () => {
  for (const member of open) await member.membership.leave()
  await transport?.close()
})

interface Member {
  readonly events: string[]
  tasks: string[]
  /** How long onRebalance takes. */
  rebalanceMs: number
  membership: Membership
}

async function join(
  groupId: string,
  clientId: string,
  topic: string,
  identity = 't.g1',
): Promise<Member> {
  const member: Omit<Member, 'membership'> = { events: [], tasks: [], rebalanceMs: 0 }
  const membership = await transport.join({
    groupId,
    clientId,
    sessionTimeoutMs: 3000,
    identity,
    tasks: async () => TASKS,
    topicsOf: kind => (kind === 'user' ? [topic] : []),
    async onRebalance() {
      member.events.push('rebalance')
      await pause(member.rebalanceMs)
      member.events.push('committed')
    },
    async onAssigned(tasks) {
      member.tasks = tasks.map(nameOf).sort()
      member.events.push(`assigned ${tasks.length}`)
    },
    async onLost() {
      member.tasks = []
      member.events.push('lost')
    },
    onRefused(error) {
      member.events.push(`${error.code}: ${error.message}`)
    },
  })
  const joined = Object.assign(member, { membership })
  open.push(joined)
  return joined
}

const all = TASKS.map(nameOf).sort()
const together = (...members: Member[]): string[] => members.flatMap(member => member.tasks).sort()
const settled = (...members: Member[]): boolean =>
  together(...members).join() === all.join() && members.every(member => member.tasks.length > 0)

async function makeTopic(): Promise<string> {
  const topic = uniqueName('group')
  await transport.topics.create([{ topic, partitions: 4, config: {} }])
  return topic
}

describe('group membership', () => {
  it('gives a member that works on something else a refusal and no task, whoever leads', async () => {
    const topic = await makeTopic()
    const groupId = uniqueName('group')
    const a = await join(groupId, 'a', topic)
    await until(() => settled(a))
    for (let i = 0; i < 2; i++) {
      const b = await join(groupId, 'b', topic, 'other.g1')
      await until(() => b.events.length > 0)
      expect(b.events).toEqual([
        expect.stringMatching(
          new RegExp(
            `^APPLICATION_OTHER: group ${groupId}: its members work on t.g1, this one on other.g1`,
          ),
        ),
      ])
      await until(() => settled(a))
    }
    expect(a.events.filter(event => /OTHER|lost/.test(event))).toEqual([])
    // the one at work leaves while an intruder waits to lead
    await a.membership.leave()
    const c = await join(groupId, 'c', topic, 'other.g1')
    await until(() => settled(c))
  })

  it('refuses a group id that consumers of another program use', async () => {
    const topic = await makeTopic()
    const groupId = uniqueName('group')
    const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })
    const consumer = kafka.consumer({ groupId })
    await consumer.connect()
    await consumer.subscribe({ topic })
    const joined = new Promise(resolve => consumer.on('consumer.group_join', resolve))
    await consumer.run({ eachMessage: async () => undefined })
    await joined
    const a = await join(groupId, 'a', topic)
    await until(() => a.events.length > 0)
    expect(a.events).toEqual([
      expect.stringMatching(
        new RegExp(`^APPLICATION_OTHER: joining group ${groupId} was refused by the broker`),
      ),
    ])
    await consumer.disconnect()
  })

  it('hands tasks over when members come and go, keeps the rest, and commits before it joins', async () => {
    const topic = await makeTopic()
    const groupId = uniqueName('group')
    const a = await join(groupId, 'a', topic)
    await until(() => settled(a))
    const b = await join(groupId, 'b', topic)
    await until(() => settled(a, b))
    expect(a.events).toEqual(['assigned 7', 'rebalance', 'committed', `assigned ${a.tasks.length}`])
    expect(Math.abs(a.tasks.length - b.tasks.length)).toBeLessThanOrEqual(1)
    expect(a.tasks.filter(name => name.startsWith('user'))).toHaveLength(2)
    const [ofA, ofB] = [a.tasks, b.tasks]
    const c = await join(groupId, 'c', topic)
    await until(() => settled(a, b, c))
    expect(a.tasks.filter(name => !ofA.includes(name))).toEqual([])
    expect(b.tasks.filter(name => !ofB.includes(name))).toEqual([])
    await c.membership.leave()
    await b.membership.leave()
    await until(() => settled(a))
    expect(b.events.filter(event => event === 'lost')).toEqual([])
  })

  it('waits for a slow commit no longer than half a session', async () => {
    const topic = await makeTopic()
    const groupId = uniqueName('group')
    const a = await join(groupId, 'a', topic)
    await until(() => settled(a))
    a.rebalanceMs = 1000
    const b = await join(groupId, 'b', topic)
    await until(() => settled(a, b))
    expect(a.events.slice(1)).toEqual(['rebalance', 'committed', `assigned ${a.tasks.length}`])
    a.rebalanceMs = 4000
    await b.membership.leave()
    await until(() => settled(a))
    expect(a.events.slice(4)).toEqual(['rebalance', 'committed', 'assigned 7'])
    expect(a.events).not.toContain('lost')
  })

  it('tells what is lost when the coordinator throws it out, and joins again', async () => {
    const topic = await makeTopic()
    const groupId = uniqueName('group')
    const a = await join(groupId, 'a', topic)
    await until(() => settled(a))
    const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin()
    await admin.connect()
    const [group] = (await admin.describeGroups([groupId])).groups
    expect(group.members.map(member => member.clientId)).toEqual(['a'])
    const shown = kafkajs.AssignerProtocol.MemberAssignment.decode(
      group.members[0].memberAssignment,
    )
    expect(shown?.assignment).toEqual({ [topic]: [0, 1, 2, 3] })

    await a.membership.commitOffsets([{ at: { topic, partition: 2 }, offset: 17 }])
    const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
    expect(committed.partitions.find(one => one.partition === 2)?.offset).toBe('17')

    const [host, port] = brokers[0].split(':')
    const link = await new LinkFactory({ brokers, clientId: 'other' }).open({
      host,
      port: Number(port),
      nodeId: null,
    })
    await link.calls.leaveGroup({ groupId, memberId: group.members[0].memberId })
    link.drop()
    await until(() => a.events.includes('lost'))
    await until(() => settled(a))
    expect(a.events).toEqual(['assigned 7', 'lost', 'assigned 7'])
    await admin.disconnect()
  })

  it('never throws from a commit of offsets', async () => {
    const a = await join(uniqueName('group'), 'a', await makeTopic())
    await until(() => settled(a))
    await a.membership.commitOffsets([
      { at: { topic: uniqueName('absent'), partition: 0 }, offset: 1 },
    ])
    await a.membership.leave()
    await a.membership.commitOffsets([{ at: { topic: 'absent', partition: 0 }, offset: 1 }])
  })
})
