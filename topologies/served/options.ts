import { z } from 'zod'
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
})
