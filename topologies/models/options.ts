import { z } from 'zod'
import { defineOptions, option } from '../../streams/options.ts'

const name = '[a-z0-9][a-z0-9._-]{0,63}'
const ranker = new RegExp(`^(blend|model:${name})$`)
export const modelName = new RegExp(`^${name}$`)
/** Would be taken for what ranks without a model. */
export const takenNames: readonly string[] = ['blend', 'mix']

export const modelsOptions = defineOptions({
  ranker: option(z.string().regex(ranker), 'blend', {
    help: 'What gives the last word on the order of a list: blend, or model:NAME, the model that `freshet models promote` named. blend: it learns with every event and needs nobody to train it.',
    takes: 'blend or model:NAME',
  }),
  'ranker.cascade': option(z.coerce.number().int().min(100).max(10_000), 300, {
    help: "How many of a list's candidates, the blend's best, a model ranks again; the others follow below. 300: more than the ~110 candidates of topk.candidates=30, so all of them.",
    takes: 'a whole number from 100 to 10000',
  }),
  'models.budgetMs': option(z.coerce.number().gt(0).max(60_000), 20, {
    help: 'Time a model may take for 1,000 rows, ms: above it a push is refused, above 100 times of it the model is demoted while it runs. 20: then a list of 110 candidates costs 2 ms; 500 trees of 31 leaves take about as much.',
    takes: 'a number above 0, at most 60000',
  }),
  'models.maxBytes': option(
    z.coerce
      .number()
      .int()
      .min(1)
      .max(2 ** 30),
    64 * 2 ** 20,
    {
      help: 'Largest model that is taken, bytes. 64 MiB: a thousand trees are 3 MB; every worker holds it and reads it at its start.',
      takes: 'a whole number from 1 to 1073741824',
    },
  ),
})
