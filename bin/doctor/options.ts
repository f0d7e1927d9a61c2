/** Node, and options that each are right but contradict one another. */
import { accessSync, constants } from 'node:fs'
import { messageOf } from '../../streams/errors.ts'
import type { ResolvedOption } from '../../streams/options.ts'
import { durationText } from '../terminal.ts'
import { type Finding, ok, orOk, warning, wrong } from './finding.ts'

const OLDEST_NODE = [20, 19] as const

/** `version` as `process.versions.node` has it. */
export function checkNode(version: string): Finding {
  const [major, minor] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_NODE
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
    ? ok('node', `Node ${version}`)
    : wrong('node', `Node ${version} is too old`, `install Node ${OLDEST_NODE.join('.')} or newer`)
}

const CHECK = 'options'

/** Values and where they came from, by name; what an application does not have is passed over. */
export function checkOptions(resolved: readonly ResolvedOption[]): readonly Finding[] {
  const by = new Map(resolved.map(({ name, value }) => [name, value]))
  const text = (name: string): string => String(by.get(name) ?? '')
  const ms = (name: string): number => Number(by.get(name) ?? Number.NaN)
  const found: Finding[] = []
  const onKafka = text('kafka.brokers') !== ''

  const mechanism = text('kafka.sasl.mechanism')
  if (mechanism === '' && text('kafka.sasl.username') !== '')
    found.push(
      wrong(
        CHECK,
        'kafka.sasl.username is set, kafka.sasl.mechanism is not: nobody logs in',
        'set kafka.sasl.mechanism to plain, scram-sha-256 or scram-sha-512',
      ),
    )
  if (mechanism !== '' && text('kafka.sasl.username') === '')
    found.push(
      wrong(
        CHECK,
        `kafka.sasl.mechanism is ${mechanism} without a user`,
        'set FRESHET_KAFKA_SASL_USERNAME and FRESHET_KAFKA_SASL_PASSWORD',
      ),
    )
  if (mechanism === 'plain' && by.get('kafka.ssl') === false)
    found.push(
      warning(
        CHECK,
        'SASL plain without TLS sends the password in the clear',
        'set kafka.ssl=true, or use scram-sha-512',
      ),
    )
  const ca = text('kafka.ssl.ca')
  if (ca !== '' && by.get('kafka.ssl') === false)
    found.push(
      wrong(CHECK, `kafka.ssl.ca is ${ca}, but kafka.ssl is off`, 'set kafka.ssl=true as well'),
    )
  const caProblem = ca === '' ? undefined : unreadable(ca)
  if (caProblem !== undefined)
    found.push(
      wrong(CHECK, `kafka.ssl.ca ${caProblem}`, 'name a file in PEM that this user may read'),
    )
  if (onKafka && text('redis.url') === '')
    found.push(
      warning(
        CHECK,
        `Kafka is named, Redis is not: lists go to the embedded store in ${text('data.dir')}, for one process alone`,
        'set FRESHET_REDIS_URL, or redis.url=none to go without lists',
      ),
    )
  if (onKafka && /^($|chdb:)/.test(text('clickhouse.url')))
    found.push(
      warning(
        CHECK,
        'Kafka is named, ClickHouse is not: statistics go to the embedded one, for one process alone',
        'set FRESHET_CLICKHOUSE_URL, or clickhouse.url=none to go without statistics',
      ),
    )
  if (onKafka && text('privacy.pseudonymKeyId') === 'development')
    found.push(
      warning(
        CHECK,
        'the pseudonyms in ClickHouse are made with the public development key: anyone can name the users behind them',
        'set FRESHET_PRIVACY_PSEUDONYM_KEY to a secret of your own and FRESHET_PRIVACY_PSEUDONYM_KEY_ID to its name',
      ),
    )
  if (ms('blocked.life') < ms('topk.life'))
    found.push(
      wrong(
        CHECK,
        `withdrawn items are forgotten after ${durationText(ms('blocked.life'))} (blocked.life), lists live ${durationText(ms('topk.life'))} (topk.life): an old list could show them again`,
        'raise blocked.life to at least topk.life',
      ),
    )
  if (ms('topk.withdrawalSweep') > 600_000)
    found.push(
      warning(
        CHECK,
        `a withdrawn item may stay in lists for ${durationText(ms('topk.withdrawalSweep'))} (topk.withdrawalSweep)`,
        'lower it to 8m, so that it is out of all lists within 10 min',
      ),
    )
  if (ms('user.commitInterval') > 1_000)
    found.push(
      warning(
        CHECK,
        `user tasks commit every ${durationText(ms('user.commitInterval'))}: lists and sessions are older than a second`,
        'lower user.commitInterval to 100ms',
      ),
    )
  return orOk(found, CHECK, `${resolved.length} options, none contradicts another`)
}

function unreadable(file: string): string | undefined {
  try {
    accessSync(file, constants.R_OK)
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
