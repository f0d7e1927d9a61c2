/** The item task: the catalog from the items topic, counts and co-visits from user tasks, each item in one task. */
import type { Decoder } from '../../schemas/index.ts'
import type { OptionValues } from '../../streams/options.ts'
import type { TaskKind } from '../../streams/topology/stage.ts'
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

export function itemKind(
  options: ItemKindOptions,
  decoder: Pick<Decoder<'items'>, 'decode' | 'resolve'>,
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
      return {
        decode: (_topic, record) => decode(record),
        stages: [
          createCatalogStage(ctx, options),
          createPopularityItemStage(ctx, options),
          createCovisitItemStage(ctx, options),
        ],
      }
    },
  }
}
