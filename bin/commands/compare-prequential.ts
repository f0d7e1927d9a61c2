/** The log's plays under both runs' options, for `freshet replay compare --prequential`. */
import { ArchiveReader } from '../../replay/archive/reader.ts'
import {
  comparePrequential,
  firstPlays,
  type PositivePlay,
  type PrequentialFigures,
} from '../../replay/compare/prequential.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { archiveSource } from '../../replay/source/archive.ts'
import { kafkaSource } from '../../replay/source/kafka.ts'
import { Decoder } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import type { Values } from '../call.ts'
import { namesOf, openRegistry, openTransport, REACH_MS, type Surroundings } from '../compose.ts'

export async function prequentialOf(
  around: Surroundings,
  spec: ReplaySpec,
  options: { readonly replay: Values; readonly with: Values },
  most: number,
  progress: (done: number, total: number) => void,
): Promise<PrequentialFigures | null> {
  const plays = await playsOf(around, spec, most)
  return comparePrequential(plays, options, progress)
}

async function playsOf(
  around: Surroundings,
  { source, ranges }: ReplaySpec,
  most: number,
): Promise<PositivePlay[]> {
  const { values } = around
  const registry = await openRegistry(around)
  const events = ranges.events ?? []
  try {
    if (source.kind === 'archive') {
      const reader = ArchiveReader.open(source.dir)
      const isMock = values['schemaRegistry.url'].startsWith('mock://')
      const decoder = new Decoder(
        'events',
        reader.schemas(isMock ? undefined : registry),
        systemClock,
      )
      return await firstPlays(archiveSource(reader), events, decoder, most)
    }
    const transport = await openTransport(around, REACH_MS, true)
    try {
      const decoder = new Decoder('events', registry, systemClock)
      return await firstPlays(kafkaSource(transport, namesOf(values)), events, decoder, most)
    } finally {
      await transport.close()
    }
  } finally {
    registry.close()
  }
}
