import { z } from 'zod'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

const count = z.coerce.number().int().min(1).max(1e9)
const countTakes = 'a whole number from 1 to 1000000000'

export const responseOptions = defineOptions({
  'response.weight': option(z.coerce.number().min(0).max(1), 1, {
    help: 'How far lists are ranked by what was learnt from logged impressions: 0 not at all, 1 by it alone but for a tenth of what positives say. Without logged impressions it changes nothing.',
    takes: 'a number from 0 to 1',
  }),
  'response.minImpressions': option(count, 10_000, {
    help: 'Impressions learnt before anything of it is served; it then comes in evenly over as many again. 10,000: by then a position or a source is known to some hundredths of a logit.',
    takes: countTakes,
  }),
  'response.maxPerSecond': option(count, 5_000, {
    help: 'Impressions learnt a second; above that a uniform sample by hash. 5000 cost the learner about 2% of a core.',
    takes: countTakes,
  }),
  'response.publishInterval': option(duration(), 10_000, {
    help: 'How often response weights are published to every process. 10s, as vectors: they move by hundredths in that time.',
    takes: durationTakes,
  }),
})
