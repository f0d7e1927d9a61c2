/** Brokers: who answers, what they speak, how long they remember a producer, and whether they refuse an old owner. */
import { FreshetError } from '../../streams/errors.ts'
import { proveFence } from '../../streams/runtime/fence-probe.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { ClusterFacts, Transport } from '../../streams/transport/port.ts'
import { durationText } from '../terminal.ts'
import { type Finding, ok, orOk, warning, wrong } from './finding.ts'

const HOUR_MS = 3_600_000

/** An idle task writes every 10 min; brokers that forget it sooner than in an hour may let an old owner in. */
const LEAST_EXPIRY_MS = HOUR_MS
const EXPIRY = 'producer.id.expiration.ms'

export function checkBrokers(facts: ClusterFacts): readonly Finding[] {
  return [...checkSpeech(facts), checkReplication(facts.brokers.length), ...checkExpiry(facts)]
}

function checkSpeech({ brokers }: ClusterFacts): readonly Finding[] {
  const check = 'brokers'
  return orOk(
    brokers
      .filter(broker => broker.lacks.length > 0)
      .map(({ address, lacks }) =>
        wrong(
          check,
          `${address} does not speak ${lacks.join(', ')}`,
          'use Apache Kafka 2.5 or newer, or a broker compatible with it',
        ),
      ),
    check,
    `${brokers.length} reachable (${brokers.map(broker => broker.address).join(', ')})`,
  )
}

function checkReplication(brokers: number): Finding {
  const check = 'replication'
  if (brokers >= 3)
    return ok(check, 'topics that freshet makes have 3 copies, 2 of them written before an answer')
  return warning(
    check,
    brokers === 1
      ? 'one broker, one copy: a lost disk loses events and state'
      : '2 brokers, 2 copies, 1 of them written before an answer: a broker lost at the wrong moment loses what was acknowledged',
    'run 3 brokers before topics are made; fine for a trial',
  )
}

function checkExpiry({ brokers }: ClusterFacts): readonly Finding[] {
  const check = 'producer memory'
  const found = brokers.flatMap(({ address, settings, refusal }) => {
    const expiry = settings?.[EXPIRY]
    if (expiry === undefined)
      return [
        warning(
          check,
          `${address} does not tell ${EXPIRY}${refusal ? ` (${refusal})` : ''}`,
          `allow DescribeConfigs on the cluster, or see for yourself that it is at least an hour`,
        ),
      ]
    return Number(expiry) < LEAST_EXPIRY_MS
      ? [
          wrong(
            check,
            `${address} forgets a producer after ${durationText(Number(expiry))} (${EXPIRY}): then it no longer refuses old owners`,
            `set ${EXPIRY} to at least 3600000 on the brokers (Kafka's default is a day)`,
          ),
        ]
      : []
  })
  const [first] = brokers
  return orOk(
    found,
    check,
    `brokers remember a producer for ${durationText(Number(first?.settings?.[EXPIRY]))} (${EXPIRY})`,
  )
}

/** Writes four records to a scratch topic. */
export async function checkFence(transport: Transport, names: TopicNames): Promise<Finding> {
  const check = 'fence'
  try {
    await proveFence(transport, names)
    return ok(check, 'a write of an old owner is refused')
  } catch (error) {
    if (!(error instanceof FreshetError)) throw error
    return wrong(
      check,
      error.message,
      error.code === 'DEPENDENCY_UNSUITABLE'
        ? `allow this user to create and write ${names.outside('fence-probe')}, or use brokers that fence`
        : 'see what the broker logs, then try again',
    )
  }
}
