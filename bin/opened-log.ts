/** The log for one call of the command that reads or writes a topic of its own. */
import type { Encoder, SchemaRegistry } from '../schemas/index.ts'
import type { Logger } from '../streams/log.ts'
import { noMetrics } from '../streams/metrics.ts'
import type { TopicNames } from '../streams/runtime/names.ts'
import type { Transport } from '../streams/transport/port.ts'
import type { Call } from './call.ts'
import { isEmbedded, namesOf, openSchemas, openTransport, REACH_MS } from './compose.ts'
import { createLogger } from './logger.ts'
import { outsideTopicSpecs } from './topics.ts'

export interface OpenedLog {
  readonly transport: Transport
  readonly names: TopicNames
  readonly registry: SchemaRegistry
  readonly encoder: Encoder
  readonly log: Logger
  close(): Promise<void>
}

/** The outside topics are made where the log is embedded. Errors: what can't be reached, in a sentence. */
export async function openLog({ values }: Call): Promise<OpenedLog> {
  const log = createLogger(values['log.level'])
  const around = { values, log, metrics: noMetrics }
  const names = namesOf(values)
  const transport = await openTransport(around, REACH_MS)
  try {
    if (isEmbedded(values))
      await transport.topics.create(outsideTopicSpecs(names, values['topics.partitions']))
    const { registry, encoder } = await openSchemas(around)
    return {
      transport,
      names,
      registry,
      encoder,
      log,
      async close() {
        registry.close()
        await transport.close()
      },
    }
  } catch (error) {
    await transport.close()
    throw error
  }
}
