/** The Kafka transport: the port's contract on a real broker. What only a broker can do wrong is in `kafka-traps.test.ts`. */
import kafkajs from 'kafkajs'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { kafkaBrokers } from '../support/services.ts'
import { transportContract } from './transport.contract.ts'

const open = async () => {
  const brokers = (await kafkaBrokers()).split(',')
  return createKafkaTransport({ brokers, clientId: 'contract', waitMs: 10_000 })
}

transportContract('kafka', async () => ({ transport: await open() }), {
  async reopen(current) {
    await current.close()
    return open()
  },
  async abortedTransaction(at, value) {
    const kafka = new kafkajs.Kafka({
      brokers: (await kafkaBrokers()).split(','),
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
})
