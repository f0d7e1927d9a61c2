import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { kafkaBrokers, uniqueName } from '../../test/support/services.ts'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import { createKafkaTransport } from '../transport/kafka/index.ts'
import type { Transport } from '../transport/port.ts'
import { proveFence } from './fence-probe.ts'
import { topicNames } from './names.ts'

/** A log without a fence: every write goes in under a producer id of its own, as a broker that forgets does it. */
function unfenced(transport: Transport): Transport {
  let taken = 1_000_000n
  return {
    ...transport,
    writer: identity => transport.writer({ ...identity, producerId: taken++ }),
  }
}

async function onEmbedded(work: (transport: Transport) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-fence-'))
  const transport = await createEmbeddedTransport({ dir })
  try {
    await work(transport)
  } finally {
    await transport.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

describe('C2 the fence probe', () => {
  it('passes on the embedded log, again and again', () =>
    onEmbedded(async transport => {
      const names = topicNames('t.', 1)
      await proveFence(transport, names)
      await proveFence(transport, names)
      const topic = names.outside('fence-probe')
      const [{ end }] = await transport.topics.offsets([{ topic, partition: 0 }])
      expect(end).toBe(4) // two writes a probe went in, two were refused
    }))

  it('refuses a log that takes an old owner', () =>
    onEmbedded(async transport => {
      await expect(proveFence(unfenced(transport), topicNames('t.', 1))).rejects.toMatchObject({
        code: 'DEPENDENCY_UNSUITABLE',
        message: expect.stringContaining('does not fence old owners'),
      })
    }))

  it('passes on a real broker, for workers that start together; its facts are told', async () => {
    const brokers = await kafkaBrokers()
    const transport = await createKafkaTransport({ brokers: [brokers], clientId: 'fence' })
    const names = topicNames(`${uniqueName('fence')}.`, 1)
    try {
      await Promise.all([1, 2, 3].map(() => proveFence(transport, names)))
      const topic = names.outside('fence-probe')
      const facts = await transport.facts?.([topic, 'not-there'])
      expect(facts?.brokers).toMatchObject([
        { address: brokers, lacks: [], settings: { 'producer.id.expiration.ms': '86400000' } },
      ])
      expect(facts?.topics.get(topic)).toMatchObject({
        'cleanup.policy': 'delete',
        'retention.ms': '3600000',
      })
      expect(facts?.topics.has('not-there')).toBe(false)
    } finally {
      await transport.close()
    }
  })
})
