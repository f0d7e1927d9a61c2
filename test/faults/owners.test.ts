/** One writer a task (C2), where brokers forget who wrote and where two processes both believe that a task is theirs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { TopicPartition } from '../../streams/transport/port.ts'
import { commitsOf } from '../support/faults/read-state.ts'
import { ToyStream } from '../support/faults/toy-stream.ts'
import { type KafkaService, startKafka } from '../support/kafka.ts'
import { batchOf } from '../support/kafka-log.ts'

const EXPIRY_MS = 10_000
const FORGOTTEN_MS = EXPIRY_MS + 4_000

describe('owners of a task', () => {
  let kafka: KafkaService
  let toy: ToyStream
  afterEach(async () => {
    await toy?.close()
    await kafka?.stop()
  })

  it('a broker that forgets producer ids within seconds: does the touch keep a zombie out across it?', async () => {
    kafka = await startKafka({
      config: {
        'producer.id.expiration.ms': String(EXPIRY_MS),
        'producer.id.expiration.check.interval.ms': '500',
      },
    })
    toy = await ToyStream.open(kafka.brokers)
    expect(await forgets(toy), 'the trap is there: an older epoch is let in again').toBe(true)
    const workers = [toy.start('--touch', '2000'), toy.start('--touch', '2000')]
    await toy.send(500)
    await toy.caughtUp()
    for (let round = 0; round < 4; round++) {
      const zombie = workers[round % 2]
      const sending = (async () => {
        for (let i = 0; i < 8; i++) {
          await toy.send(200)
          await sleep(50)
        }
      })()
      await sleep(40 + 83 * round)
      zombie.signal('SIGSTOP')
      await sending
      // the other one takes over; then nothing is written but touches, for longer than the broker remembers
      await toy.caughtUp()
      await sleep(FORGOTTEN_MS)
      if (round % 2 === 0) await toy.send(200)
      zombie.signal('SIGCONT')
      await toy.send(200)
      await toy.caughtUp()
    }
    // nobody is left to touch: all sleep across the expiry, and go on
    for (const worker of workers) worker.signal('SIGSTOP')
    await toy.send(200)
    await sleep(FORGOTTEN_MS)
    for (const worker of workers) worker.signal('SIGCONT')
    await toy.send(200)
    await toy.expectExact()
    for (const worker of workers) expect(await worker.stop(), worker.output).toBe(0)
  }, 400_000)

  it('two that both hold every task theirs: does each commit come from exactly one?', async () => {
    kafka = await startKafka()
    toy = await ToyStream.open(kafka.brokers)
    const contenders = [toy.start('--static'), toy.start('--static')]
    for (let i = 0; i < 300; i++) {
      await toy.send(100)
      await sleep(100)
    }
    // as long as both are there no task rests; alone, one gets it all done
    const [first, second] = contenders
    expect(await second.stop(), second.output).toBe(0)
    await toy.expectExact()
    for (const contender of contenders)
      expect(contender.output.match(/task lost/g)?.length ?? 0).toBeGreaterThan(5)
    for (const kind of ['words', 'totals']) {
      const topic = toy.names.changelog(kind)
      for (let partition = 0; partition < 2; partition++) {
        const { numbers, owners } = await history(toy, { topic, partition })
        expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i + 1))
        expect(owners, `changes of ownership of ${kind}-${partition}`).toBeGreaterThan(5)
      }
    }
    expect(await first.stop(), first.output).toBe(0)
  }, 300_000)
})

/** Whether an idle producer's fence is gone after the expiry. */
async function forgets({ transport, names }: ToyStream): Promise<boolean> {
  const at = { topic: names.outside('scratch'), partition: 0 }
  await transport.topics.create([{ topic: at.topic, partitions: 1, config: {} }])
  const producerId = await transport.newProducerId()
  const append = (epoch: number) =>
    transport.writer({ producerId, epoch, deadlineMs: 10_000 }).append(at, batchOf(['k', 'v']))
  await append(1)
  await expect(append(0)).rejects.toThrow()
  await sleep(FORGOTTEN_MS)
  return append(0).then(
    () => true,
    () => false,
  )
}

/** Numbers of all commits in order, and how many owners wrote them. The cleaner leaves a young log alone. */
async function history(
  { transport }: ToyStream,
  at: TopicPartition,
): Promise<{ numbers: number[]; owners: number }> {
  const commits = (await commitsOf(transport, at)).filter(({ number }) => number !== undefined)
  const owners = new Set(commits.map(({ batch }) => `${batch.producerId}/${batch.producerEpoch}`))
  return { numbers: commits.map(({ number }) => Number(number)), owners: owners.size }
}
