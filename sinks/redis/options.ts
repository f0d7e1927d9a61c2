/** Options of the Redis sink. */
import { z } from 'zod'
import { defineOptions, option } from '../../streams/options.ts'

export const redisOptions = defineOptions({
  'redis.prefix': option(z.string().regex(/^[^{}\s]*$/), 'freshet:', {
    help: 'What every key in Redis begins with. The default keeps freshet apart from other users of the same Redis; a replay writes under freshet@NAME: instead',
    takes: 'text without spaces and braces',
  }),
})
