/** Options of online quality. */
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

export const qualityOptions = defineOptions({
  'quality.watchCap': option(
    duration().refine(ms => ms > 0),
    600_000,
    {
      help: 'Most of one play that counts as watch time. 10m: else one film is worth forty clips, and a screen left on all night a day of them',
      takes: durationTakes,
    },
  ),
})
