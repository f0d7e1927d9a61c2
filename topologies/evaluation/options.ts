/** Options of live policy evaluation. */
import { z } from 'zod'
import { defineOptions, option } from '../../streams/options.ts'

const factor = z.coerce.number().gt(0).max(100)

export const evaluationOptions = defineOptions({
  'evaluation.temperatures': option(
    z.preprocess(
      given => (typeof given === 'string' ? given.split(',').filter(text => text !== '') : given),
      z.array(factor).max(4),
    ),
    [0.5],
    {
      help: "Policies that sampled lists (slates.share) are evaluated for while they are served: the surface's, at its temperature times each of these factors. .5: would less chance earn more? Others are asked with `freshet evaluate policy`",
      takes: 'up to 4 numbers above 0, separated by commas; nothing for none',
    },
  ),
  'evaluation.draws': option(z.coerce.number().int().min(0).max(10_000_000), 20_000, {
    help: 'Sampled lists that a user task keeps until the outcomes of their impressions are known, some 1 KB each. 20,000: those of an hour at 500 lists a second and a share of 1%; above it the oldest go unjudged',
    takes: 'a whole number from 0 to 10000000',
  }),
})
