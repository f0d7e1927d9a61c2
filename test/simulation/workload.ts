/** What comes into the topics from outside: bursts of events of all sorts, on words that are skewed like life's. */
import type { TopicNames } from '../../streams/runtime/names.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import { RecordBatchBuilder } from '../../streams/transport/record-batch.ts'
import type { Broker } from './broker.ts'
import type { Plan } from './faults.ts'
import type { Rng } from './rng.ts'
import type { Scheduler } from './scheduler.ts'

/** The topics from outside; changelogs only where the tasks' lines of epochs are to be nearly at their end. */
export function createTopics(broker: Broker, names: TopicNames, plan: Plan, nowMs: number): void {
  for (const [topic, partitions] of [
    ['text', plan.words],
    ['marks', plan.words],
    ['dead-letters', 1],
    ['alerts', 1],
    ['features', 1],
  ] as const)
    broker.create({ topic: names.outside(topic), partitions, config: {} })
  if (plan.epoch === undefined) return
  for (const kind of ['words', 'totals'] as const) {
    broker.create({ topic: names.changelog(kind), partitions: plan[kind], config: {} })
    for (let partition = 0; partition < plan[kind]; partition++) {
      const builder = new RecordBatchBuilder()
      const producerId = broker.newProducerId()
      const record = { uuid: 'first', opensAt: 0, producerId: `${producerId}`, epoch: plan.epoch }
      builder.add(Buffer.from([0, 1]), Buffer.from(JSON.stringify(record)))
      const bytes = builder.finish(nowMs).stamp(producerId, plan.epoch, 0)
      const nothing = (): void => undefined
      broker.log({ topic: names.changelog(kind), partition }).append(bytes, nowMs, nothing, nothing)
      broker.log({ topic: names.changelog(kind), partition }).replicate()
    }
  }
}

export interface WorkloadAround {
  readonly plan: Plan
  readonly rng: Rng
  readonly broker: Broker
  readonly scheduler: Scheduler
  readonly names: TopicNames
}

export class Workload {
  produced = 0
  private readonly around: WorkloadAround

  constructor(around: WorkloadAround) {
    this.around = around
  }

  /** Events come in bursts until `upTo` are there. */
  produce(upTo: number): void {
    const { plan, rng, scheduler } = this.around
    const burst = Math.min(rng.int(1, 12), upTo - this.produced)
    for (let i = 0; i < burst; i++) this.event()
    if (this.produced >= upTo) return
    const pace = plan.stormMs / plan.events
    scheduler.after(rng.int(0, 2 * pace * burst), 'produce', undefined, () => this.produce(upTo))
  }

  private event(): void {
    const { rng, plan, broker, names, scheduler } = this.around
    this.produced++
    const drawn = rng.unit()
    const word = rng.chance(0.02) ? 'refused' : `k${Math.floor(rng.unit() ** 2 * 12)}`
    const kind =
      drawn < 0.62
        ? 'word'
        : drawn < 0.66
          ? 'urgent'
          : drawn < 0.72
            ? `schema${rng.int(1, 3)}`
            : drawn < 0.78
              ? 'open'
              : drawn < 0.84
                ? 'close'
                : drawn < 0.88
                  ? 'nonsense'
                  : drawn < 0.9
                    ? 'skip'
                    : 'mark'
    const partition = partitionOfText(word, plan.words)
    const value = Buffer.from(`${kind}:${word}`)
    const topic = names.outside(kind === 'mark' ? 'marks' : 'text')
    const timestamp = scheduler.now
    broker.log({ topic, partition }).appendOutside([{ timestamp, key: null, value, headers: [] }])
  }
}
