import { z } from 'zod'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

export const itemOptions = defineOptions({
  'item.commitInterval': option(duration(), 1_000, {
    help: 'How often item tasks commit. Their input is durable, and a second is how fresh popularity is promised; withdrawals do not wait for it.',
    takes: durationTakes,
  }),
  'catalog.required': option(z.enum(['auto', 'true', 'false']), 'auto', {
    help: 'Whether an item must have come over the items topic to stand in a list. auto: only once the items topic held an Item (tombstones alone are no catalog), so that a deployment without a catalog lists what it sees.',
    takes: 'auto, true or false',
  }),
  'blocked.life': option(duration(), 7 * 86_400_000, {
    help: 'How long a withdrawn item stays in the set `blocked`. 7d is the life of the longest-lived list: after that no list that a reader may still hold can contain it.',
    takes: durationTakes,
  }),
  'ann.bruteForceBelow': option(z.coerce.number().int().min(0).max(1e7), 40_000, {
    help: 'Up to this many learnt items the nearest vectors are found by looking at all, which is exact and needs no building. At 40,000 x 32 that costs about as much as a search in the HNSW graph within a list. Of content vectors as many as hold the same count of numbers.',
    takes: 'a whole number from 0 to 10000000',
  }),
  'ann.moved': option(z.coerce.number().min(0).max(10), 0.1, {
    help: 'How far an item must have moved from where the HNSW graph has it, as a share of its length, to be searched beside the graph until the next rebuild. Updating a point in place is fifteen times dearer than adding it and wears the graph out.',
    takes: 'a number from 0 to 10',
  }),
})
