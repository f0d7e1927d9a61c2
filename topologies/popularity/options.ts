import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

export const popularityOptions = defineOptions({
  'popularity.trendHalfLife': option(duration(), 12 * 3_600_000, {
    help: 'Half-life of the set `pop:trend`. 12h: a day old positive weighs a quarter, so a night does not empty it and yesterday does not rule it.',
    takes: durationTakes,
  }),
  'popularity.grace': option(duration(), 86_400_000, {
    help: 'How long hours are kept beyond the longest window, by event time. 24h: as late as an event may be and still be counted.',
    takes: durationTakes,
  }),
})
