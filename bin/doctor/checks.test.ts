/** The checks that need no service. */
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { allOptions } from '../all-options.ts'
import { checkBrokers } from './cluster.ts'
import { checkMemory } from './memory.ts'
import { checkNode, checkOptions } from './options.ts'

const optionsWith = (flags: Record<string, string>) =>
  checkOptions(resolveOptions(allOptions, { flags, environment: {}, file: {} }).resolved)

describe('checks of doctor', () => {
  it('Node 20.19 is the oldest', () => {
    expect(['18.20.0', '20.18.3', '20.19.0', '22.1.0'].map(v => checkNode(v).verdict)).toEqual([
      'wrong',
      'wrong',
      'ok',
      'ok',
    ])
  })

  it('the defaults contradict nothing', () => {
    expect(optionsWith({})).toMatchObject([{ verdict: 'ok' }])
  })

  it.each([
    [{ 'kafka.sasl.username': 'u' }, 'wrong', 'kafka.sasl.mechanism'],
    [{ 'kafka.sasl.mechanism': 'scram-sha-512' }, 'wrong', 'without a user'],
    [
      { 'kafka.sasl.mechanism': 'plain', 'kafka.sasl.username': 'u' },
      'warning',
      'password in the clear',
    ],
    [{ 'kafka.ssl.ca': '/etc/hostname' }, 'wrong', 'kafka.ssl is off'],
    [{ 'kafka.ssl': 'true', 'kafka.ssl.ca': '/no/such/file' }, 'wrong', 'ENOENT'],
    [{ 'blocked.life': '1d' }, 'wrong', 'could show them again'],
    [{ 'topk.withdrawalSweep': '30m' }, 'warning', 'topk.withdrawalSweep'],
    [{ 'user.commitInterval': '5s' }, 'warning', 'older than a second'],
  ])('%j is %s', (flags, verdict, says) => {
    expect(optionsWith(flags)).toMatchObject([{ verdict, says: expect.stringContaining(says) }])
  })

  it('refuses brokers that forget producers within the hour, or do not speak as we do', () => {
    const broker = { address: 'b:1', lacks: [], settings: { 'producer.id.expiration.ms': '60000' } }
    const verdicts = (brokers: Parameters<typeof checkBrokers>[0]['brokers']) =>
      checkBrokers({ brokers, topics: new Map() }).map(({ check, verdict }) => [check, verdict])
    expect(verdicts([broker])).toEqual([
      ['brokers', 'ok'],
      ['replication', 'warning'],
      ['producer memory', 'wrong'],
    ])
    const well = { ...broker, settings: { 'producer.id.expiration.ms': '86400000' } }
    const silent = { ...broker, settings: null, refusal: 'CLUSTER_AUTHORIZATION_FAILED' }
    expect(verdicts([well, silent, { ...well, lacks: ['Fetch v11'] }])).toEqual([
      ['brokers', 'wrong'],
      ['replication', 'ok'],
      ['producer memory', 'warning'],
    ])
  })

  it('forecasts memory by users and items', () => {
    const sizes = { users: 1_000_000, items: 1_000_000, from: 'as given' }
    // 250 MB + 1,000,000 x (1,024 + 1,536) B
    expect(checkMemory(sizes, 4e9)).toMatchObject({
      verdict: 'ok',
      says: expect.stringContaining('2,691 MB'),
    })
    expect(checkMemory(sizes, 3e9).verdict).toBe('warning')
  })
})
