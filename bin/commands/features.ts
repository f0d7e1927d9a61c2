import { featureHash, featureSpecs } from '../../topologies/blend/features.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { paint, table } from '../terminal.ts'
import { exportFeatures } from './features-export.ts'

/** `freshet features`: what models are fed with, and examples to train them from. */
export function featuresCommand() {
  const list = command(
    'list',
    'The numbers that describe a candidate, in the order of the feature matrix, and their hash',
    'freshet features list --json',
  ).action(action(listFeatures))
  return command('features', 'Features that models rank by', 'freshet features list')
    .addCommand(list)
    .addCommand(exportFeatures())
}

async function listFeatures(call: Call): Promise<number> {
  answer(call, { hash: featureHash, count: featureSpecs.length, features: featureSpecs }, () =>
    [
      table([
        ['#', 'feature', 'type', 'of', 'default', 'how'],
        ...featureSpecs.map((spec, i) => [
          String(i),
          `${spec.name}@${spec.version}`,
          spec.type,
          spec.owner,
          String(spec.default),
          spec.description,
        ]),
      ]),
      paint(
        'dim',
        `hash ${featureHash}: stands in every model and every example (column feature_hash)`,
      ),
    ].join('\n'),
  )
  return EXIT.done
}
