import { z } from 'zod'
import { flag, flagTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

export const servedOptions = defineOptions({
  'examples.servedBytes': option(
    z.coerce
      .number()
      .int()
      .min(0)
      .max(2 ** 36),
    128 * 2 ** 20,
    {
      help: 'Memory of a worker for the features that its lists were ranked with, bytes; impressions of a list that is out of it have examples without features. 128 MiB: some 20,000 lists, or the impressions of 40 min at 250 a second; 0 keeps none',
      takes: 'a whole number from 0 to 68719476736',
    },
  ),
  'served.recompute': option(flag(), false, {
    help: 'Whether an impression of a list that is not known here has the features that its item is given now, in place of none. Of use in a replay, which draws lists of its own and sets it: examples of both can be compared then. In the live system they would not be as served',
    takes: flagTakes,
  }),
})
