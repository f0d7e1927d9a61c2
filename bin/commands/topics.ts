import { noMetrics } from '../../streams/metrics.ts'
import { action, answer, command, EXIT } from '../call.ts'
import { namesOf, openSchemas, openTransport, REACH_MS } from '../compose.ts'
import { createLogger } from '../logger.ts'
import { table } from '../terminal.ts'
import { outsideTopicSpecs } from '../topics.ts'

export function topicsCommand() {
  const create = command(
    'create',
    'Makes the outside topics that are missing and registers the schemas; freshet makes its own at the first run',
    'freshet topics create --topics.partitions 8',
  ).action(
    action(async call => {
      const around = {
        values: call.values,
        log: createLogger(call.values['log.level']),
        metrics: noMetrics,
      }
      const transport = await openTransport(around, REACH_MS)
      try {
        const specs = outsideTopicSpecs(namesOf(call.values), call.values['topics.partitions'])
        const before = await transport.topics.describe(specs.map(spec => spec.topic))
        await transport.topics.create(specs.filter(spec => !before.has(spec.topic)))
        const { registry } = await openSchemas(around)
        registry.close()
        const made = specs.map(spec => ({
          topic: spec.topic,
          partitions: before.get(spec.topic)?.partitions ?? spec.partitions,
          made: !before.has(spec.topic),
        }))
        answer(call, made, () =>
          table([
            ['topic', 'partitions', ''],
            ...made.map(m => [m.topic, m.partitions, m.made ? 'made' : 'was there']),
          ]),
        )
        return EXIT.done
      } finally {
        await transport.close()
      }
    }),
  )
  return command('topics', 'Topics', 'freshet topics create').addCommand(create)
}
