/** The model that ranks in a worker, followed from its topic: made only where the option `ranker` names one. */
import type { SchemaRegistry } from '../schemas/index.ts'
import { systemClock } from '../streams/clock.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import type { Transport } from '../streams/transport/port.ts'
import { featureSet } from '../topologies/models/features.ts'
import { ModelHost } from '../topologies/models/host.ts'
import { openRuntime } from '../topologies/models/onnxruntime.ts'
import type { Surroundings } from './compose.ts'
import { ModelsTopic } from './models-topic.ts'

export interface FollowedModel {
  readonly host: ModelHost
  close(): Promise<void>
}

/**
 * null where the blend ranks. Resolves once what is promoted ranks, or is demoted.
 * Errors: DEPENDENCY_UNSUITABLE without onnxruntime-node, TOPIC_MISSING.
 */
export async function followModel(
  { values, log, metrics, clock = systemClock }: Surroundings,
  transport: Transport,
  names: TopicNames,
  registry: SchemaRegistry,
): Promise<FollowedModel | null> {
  const [kind, name] = values.ranker.split(':')
  if (kind !== 'model') return null
  const topic = new ModelsTopic({ transport, names, registry, clock, log })
  const host = new ModelHost({
    name,
    features: featureSet(),
    open: openRuntime(),
    budgetMs: values['models.budgetMs'],
    load: manifest => topic.bytesOf(manifest),
    clock,
    elapsedMs: () => performance.now(),
    log,
    metrics,
  })
  await topic.follow(shelf => host.follow(shelf))
  if (host.served === undefined)
    log.warn(
      {},
      `option ranker is ${values.ranker} and no such model ranks yet: the blend does, until \`freshet models promote ${name}@SHA256\``,
    )
  return {
    host,
    async close() {
      await topic.close()
      host.close()
    },
  }
}
