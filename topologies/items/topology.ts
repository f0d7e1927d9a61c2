/** The item task: the catalog from the items topic, counts and co-visits from user tasks, each item in one task. */
import type { Decoder } from '../../schemas/index.ts'
import type { OptionValues } from '../../streams/options.ts'
import type { Stage, TaskKind } from '../../streams/topology/stage.ts'
import { createCovisitItemStage } from '../covisit/item-stage.ts'
import type { covisitOptions } from '../covisit/options.ts'
import { createPopularityItemStage } from '../popularity/item-stage.ts'
import type { popularityOptions } from '../popularity/options.ts'
import { createCatalogStage } from './catalog-stage.ts'
import { createItemDecode, type ItemEvent } from './decode.ts'
import type { itemOptions } from './options.ts'

export type ItemKindOptions = OptionValues<
  typeof itemOptions & typeof popularityOptions & typeof covisitOptions
>

/** `counts`: which of the counting stages run beside the catalog. */
export function itemKind(
  options: ItemKindOptions,
  decoder: Pick<Decoder<'items'>, 'decode' | 'resolve'>,
  counts = { popularity: true, covisit: true },
): TaskKind<ItemEvent> {
  return {
    name: 'item',
    inputs: ['items'],
    deltas: true,
    commitIntervalMs: options['item.commitInterval'],
    tables: ['items'],
    create(ctx) {
      const place = { partition: ctx.partition, partitions: ctx.partitionsOf('item') }
      const decode = createItemDecode(place, decoder)
      const stages: Stage<ItemEvent>[] = [createCatalogStage(ctx, options)]
      if (counts.popularity) stages.push(createPopularityItemStage(ctx, options))
      if (counts.covisit) stages.push(createCovisitItemStage(ctx, options))
      return { decode: (_topic, record) => decode(record), stages }
    },
  }
}
