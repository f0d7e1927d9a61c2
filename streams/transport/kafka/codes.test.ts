/** Every code a broker may answer with has one meaning here; Kafka's own list of what is retriable is the oracle. */
import { describe, expect, it } from 'vitest'
import { codeName, isFencing, isRetriable, refusal } from './codes.ts'
import { callError } from './connections.ts'

/** Of `org.apache.kafka.common.protocol.Errors` 4.4: those whose exception is a RetriableException. */
const RETRIABLE = [
  2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89,
  100, 103, 106, 122, 123, 133,
]
/** Not retriable to Kafka's Java client by their class, and all the same what a broker says that starts, stops or is busy. */
const PASSING = [-1, 8, 11, 57, 60, 77, 108, 129]
const FENCED = [45, 47, 49, 59, 90]

describe('error codes', () => {
  it('are retried, fenced or final, each one of the three', () => {
    const all = Array.from({ length: 138 }, (_, i) => i - 1).filter(code => code !== 0)
    expect(all.filter(isRetriable).sort((a, b) => a - b)).toEqual(
      [...RETRIABLE, ...PASSING].sort((a, b) => a - b),
    )
    expect(all.filter(isFencing)).toEqual(FENCED)
    for (const code of all.filter(isRetriable)) expect(codeName(code)).not.toMatch(/error code/)
  })

  it('say what to do where somebody can do something', () => {
    expect(refusal(32, 'appending').message).toMatch(/INVALID_TIMESTAMP.*clock/)
    expect(refusal(29, 'appending').message).toMatch(/TOPIC_AUTHORIZATION_FAILED.*rights/)
    expect(refusal(10, 'appending').message).toMatch(/max\.message\.bytes/)
    expect(refusal(12345, 'appending').message).toMatch(/error code 12345$/)
  })

  it('mean the same when they come through kafkajs, which calls a broker that starts a final error', () => {
    const from = (type: string, code: number, retriable = false): string =>
      callError('joining', Object.assign(new Error(type), { type, code, retriable })).code
    expect(from('BROKER_NOT_AVAILABLE', 8)).toBe('DEPENDENCY_UNREACHABLE')
    expect(from('UNKNOWN', -1)).toBe('DEPENDENCY_UNREACHABLE')
    expect(from('STALE_BROKER_EPOCH', 77)).toBe('DEPENDENCY_UNREACHABLE')
    expect(from('GROUP_AUTHORIZATION_FAILED', 30)).toBe('DEPENDENCY_UNSUITABLE')
    const login = (message: string): string =>
      callError(
        'connecting',
        Object.assign(new Error(message), { name: 'KafkaJSSASLAuthenticationError' }),
      ).code
    expect(login('SASL PLAIN authentication failed: Connection closed by the server')).toBe(
      'DEPENDENCY_UNREACHABLE',
    )
    expect(login('SASL PLAIN authentication failed: Invalid username or password')).toBe(
      'DEPENDENCY_UNSUITABLE',
    )
  })
})
