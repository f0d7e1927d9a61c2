/**
 * The broker's error codes that this client meets and what each means for it (kafka.apache.org/protocol, "Error Codes").
 * `retry`: asking again, if need be after new metadata, can help. `fenced`: another epoch owns the partition. The rest is
 * fatal: it goes to the caller.
 */
import { FreshetError } from '../../errors.ts'

export const OFFSET_OUT_OF_RANGE = 1
export const UNKNOWN_TOPIC_OR_PARTITION = 3
export const MESSAGE_TOO_LARGE = 10
export const RECORD_LIST_TOO_LARGE = 18
export const DUPLICATE_SEQUENCE_NUMBER = 46

const retry: Readonly<Record<number, string>> = {
  [-1]: 'UNKNOWN_SERVER_ERROR',
  2: 'CORRUPT_MESSAGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER',
  7: 'REQUEST_TIMED_OUT',
  8: 'BROKER_NOT_AVAILABLE',
  9: 'REPLICA_NOT_AVAILABLE',
  13: 'NETWORK_EXCEPTION',
  14: 'COORDINATOR_LOAD_IN_PROGRESS',
  15: 'COORDINATOR_NOT_AVAILABLE',
  16: 'NOT_COORDINATOR',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  41: 'NOT_CONTROLLER',
  56: 'KAFKA_STORAGE_ERROR',
  72: 'LISTENER_NOT_FOUND',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
  89: 'THROTTLING_QUOTA_EXCEEDED',
  103: 'UNKNOWN_TOPIC_ID',
}

const fenced: Readonly<Record<number, string>> = {
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  47: 'INVALID_PRODUCER_EPOCH',
  49: 'INVALID_PRODUCER_ID_MAPPING',
  59: 'UNKNOWN_PRODUCER_ID',
  90: 'PRODUCER_FENCED',
}

const fatal: Readonly<Record<number, string>> = {
  1: 'OFFSET_OUT_OF_RANGE',
  10: 'MESSAGE_TOO_LARGE',
  17: 'INVALID_TOPIC_EXCEPTION',
  18: 'RECORD_LIST_TOO_LARGE',
  21: 'INVALID_REQUIRED_ACKS',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  30: 'GROUP_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  32: 'INVALID_TIMESTAMP',
  35: 'UNSUPPORTED_VERSION',
  42: 'INVALID_REQUEST',
  46: 'DUPLICATE_SEQUENCE_NUMBER',
  76: 'UNSUPPORTED_COMPRESSION_TYPE',
  87: 'INVALID_RECORD',
}

export const codeName = (code: number): string =>
  retry[code] ?? fenced[code] ?? fatal[code] ?? `error code ${code}`

export const isRetriable = (code: number): boolean => code in retry

export const isFencing = (code: number): boolean => code in fenced

/** The broker refused for good. `doing` opens the sentence: "reading topic-0@5". */
export function refusal(code: number, doing: string): FreshetError {
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    `${doing} was refused by the broker: ${codeName(code)}`,
  )
}

/** Asking again can help: what the retry loops catch. */
export function retriable(what: string, cause?: unknown): FreshetError {
  return new FreshetError('DEPENDENCY_UNREACHABLE', what, cause)
}
