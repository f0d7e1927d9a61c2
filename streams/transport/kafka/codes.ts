/**
 * What each of the broker's error codes means here (kafka.apache.org/protocol, "Error Codes"). `retry`: asking again, if
 * need be after new metadata, can help; all that Kafka itself calls retriable is here, and what brokers say while they start,
 * stop or change roles. `fenced`: another epoch owns the partition. The rest is final: it goes to the caller, with what to do
 * where somebody can do something.
 */
import { FreshetError } from '../../errors.ts'

export const OFFSET_OUT_OF_RANGE = 1
export const UNKNOWN_TOPIC_OR_PARTITION = 3
export const MESSAGE_TOO_LARGE = 10
export const RECORD_LIST_TOO_LARGE = 18
export const DUPLICATE_SEQUENCE_NUMBER = 46
export const SASL_AUTHENTICATION_FAILED = 58

const retry: Readonly<Record<number, string>> = {
  [-1]: 'UNKNOWN_SERVER_ERROR',
  2: 'CORRUPT_MESSAGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER',
  7: 'REQUEST_TIMED_OUT',
  8: 'BROKER_NOT_AVAILABLE',
  9: 'REPLICA_NOT_AVAILABLE',
  11: 'STALE_CONTROLLER_EPOCH',
  13: 'NETWORK_EXCEPTION',
  14: 'COORDINATOR_LOAD_IN_PROGRESS',
  15: 'COORDINATOR_NOT_AVAILABLE',
  16: 'NOT_COORDINATOR',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  41: 'NOT_CONTROLLER',
  51: 'CONCURRENT_TRANSACTIONS',
  56: 'KAFKA_STORAGE_ERROR',
  57: 'LOG_DIR_NOT_FOUND',
  60: 'REASSIGNMENT_IN_PROGRESS',
  70: 'FETCH_SESSION_ID_NOT_FOUND',
  71: 'INVALID_FETCH_SESSION_EPOCH',
  72: 'LISTENER_NOT_FOUND',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  77: 'STALE_BROKER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
  80: 'PREFERRED_LEADER_NOT_AVAILABLE',
  83: 'ELIGIBLE_LEADERS_NOT_AVAILABLE',
  84: 'ELECTION_NOT_NEEDED',
  88: 'UNSTABLE_OFFSET_COMMIT',
  89: 'THROTTLING_QUOTA_EXCEEDED',
  100: 'UNKNOWN_TOPIC_ID',
  103: 'INCONSISTENT_TOPIC_ID',
  106: 'FETCH_SESSION_TOPIC_ID_ERROR',
  108: 'NEW_LEADER_ELECTED',
  122: 'SHARE_SESSION_NOT_FOUND',
  123: 'INVALID_SHARE_SESSION_EPOCH',
  129: 'REBOOTSTRAP_REQUIRED',
  133: 'SHARE_SESSION_LIMIT_REACHED',
}

const fenced: Readonly<Record<number, string>> = {
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  47: 'INVALID_PRODUCER_EPOCH',
  49: 'INVALID_PRODUCER_ID_MAPPING',
  59: 'UNKNOWN_PRODUCER_ID',
  90: 'PRODUCER_FENCED',
}

const RIGHTS =
  'give the user the rights that docs/operating.md names (TLS and logins), then start it again: it goes on where it was'
const TOO_LARGE =
  "the topic's max.message.bytes is smaller than what freshet writes: set it back (`freshet doctor` names the value)"

/** Final, and what to do about it. */
const remedies: Readonly<Record<number, readonly [name: string, remedy: string]>> = {
  1: ['OFFSET_OUT_OF_RANGE', ''],
  10: ['MESSAGE_TOO_LARGE', TOO_LARGE],
  17: ['INVALID_TOPIC_EXCEPTION', 'the name is none that Kafka takes: see topics.prefix'],
  18: ['RECORD_LIST_TOO_LARGE', TOO_LARGE],
  21: ['INVALID_REQUIRED_ACKS', ''],
  29: ['TOPIC_AUTHORIZATION_FAILED', RIGHTS],
  30: ['GROUP_AUTHORIZATION_FAILED', RIGHTS],
  31: ['CLUSTER_AUTHORIZATION_FAILED', RIGHTS],
  32: [
    'INVALID_TIMESTAMP',
    "this machine's clock and the broker's differ by more than the topic allows (message.timestamp.after.max.ms, before.max.ms): set the clocks right",
  ],
  35: ['UNSUPPORTED_VERSION', 'freshet needs Kafka 2.4 or newer'],
  42: ['INVALID_REQUEST', ''],
  44: ['POLICY_VIOLATION', "the cluster's own policy forbids it: ask whoever runs it"],
  46: ['DUPLICATE_SEQUENCE_NUMBER', ''],
  53: ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', RIGHTS],
  58: ['SASL_AUTHENTICATION_FAILED', 'set kafka.sasl.username and FRESHET_KAFKA_SASL_PASSWORD'],
  76: ['UNSUPPORTED_COMPRESSION_TYPE', ''],
  87: [
    'INVALID_RECORD',
    'the topic takes no such records (a compacted one takes none without a key): see its cleanup.policy',
  ],
}

export const codeName = (code: number): string =>
  retry[code] ?? fenced[code] ?? remedies[code]?.[0] ?? `error code ${code}`

export const isRetriable = (code: number): boolean => code in retry

export const isFencing = (code: number): boolean => code in fenced

/** The broker refused for good. `doing` opens the sentence: "reading topic-0@5". */
export function refusal(code: number, doing: string, cause?: unknown): FreshetError {
  const remedy = remedies[code]?.[1]
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    `${doing} was refused by the broker: ${codeName(code)}${remedy ? `; ${remedy}` : ''}`,
    cause,
  )
}

/** Asking again can help: what the retry loops catch. */
export function retriable(what: string, cause?: unknown): FreshetError {
  return new FreshetError('DEPENDENCY_UNREACHABLE', what, cause)
}
