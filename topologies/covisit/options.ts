import { z } from 'zod'
import { duration, durationTakes, flag, flagTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

export const covisitOptions = defineOptions({
  'covisit.neighbours': option(z.coerce.number().int().min(8).max(1_000), 64, {
    help: 'Strongest neighbours kept an item; twice as many are held before the weakest go. 64 fits a row in 1 KB, and lists draw their candidates from the best 30.',
    takes: 'a whole number from 8 to 1000',
  }),
  'covisit.publishInterval': option(duration(), 10_000, {
    help: 'At most how often the neighbours of one item are published to every process. A positive touches some 25 rows: at every commit that would be 18 MB a second at 1,000 positives a second.',
    takes: durationTakes,
  }),
  'covisit.publishThreshold': option(z.coerce.number().min(0).max(10), 0.05, {
    help: 'By what share of its sum a row of neighbours must have grown to be published again. .05 cannot turn an order that matters.',
    takes: 'a number from 0 to 10',
  }),
  'covisit.similar': option(flag(), true, {
    help: 'Write `similar:<itemId>`. On, as it is what a reader without a user has; off without a view store.',
    takes: flagTakes,
  }),
  'covisit.similarSize': option(z.coerce.number().int().min(1).max(200), 50, {
    help: 'Items in `similar:<itemId>`. 50 is a page of "watch next" with room for what the reader drops.',
    takes: 'a whole number from 1 to 200',
  }),
  'covisit.similarLife': option(duration(), 7 * 86_400_000, {
    help: 'Life of `similar:<itemId>`; written again at half of it. 7d, as lists have.',
    takes: durationTakes,
  }),
})
