/** The Kafka transport: the port's contract on a real broker. What only a broker can do wrong is in `kafka-traps.test.ts`. */
import kafkajs from 'kafkajs'
import { afterAll } from 'vitest'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { type KafkaService, kafkaBrokers, startKafka } from '../support/services.ts'
import { transportContract } from './transport.contract.ts'

// a broker of its own, to kill; with KAFKA_BROKERS it is theirs and stays up
let own: Promise<KafkaService> | undefined
const brokersOf = async (): Promise<string[]> => {
  if (process.env.KAFKA_BROKERS) return (await kafkaBrokers()).split(',')
  own ??= startKafka()
  return (await own).brokers.split(',')
}

const open = async () =>
  createKafkaTransport({ brokers: await brokersOf(), clientId: 'contract', waitMs: 10_000 })

transportContract('kafka', async () => ({ transport: await open() }), {
  async reopen(current) {
    await current.close()
    return open()
  },
  async abortedTransaction(at, value) {
    const kafka = new kafkajs.Kafka({
      brokers: await brokersOf(),
      logLevel: kafkajs.logLevel.NOTHING,
    })
    const producer = kafka.producer({
      transactionalId: `aborts-${at.topic}`,
      maxInFlightRequests: 1,
      idempotent: true,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    })
    await producer.connect()
    const transaction = await producer.transaction()
    await transaction.send({ topic: at.topic, messages: [{ value, partition: at.partition }] })
    await transaction.abort()
    await producer.disconnect()
  },
  outage: process.env.KAFKA_BROKERS
    ? undefined
    : async during => {
        const service = await own
        await service?.kill9()
        await during()
        await service?.restart()
      },
})

afterAll(async () => {
  await (await own)?.stop()
})
