/** Every option there is. Declared beside what it steers; gathered here. */
import { schemaOptions } from '../schemas/index.ts'
import { clickhouseOptions } from '../sinks/clickhouse/options.ts'
import { redisOptions } from '../sinks/redis/options.ts'
import { topologyOptions } from '../topologies/options.ts'
import { processOptions } from './options.ts'

export const allOptions = {
  ...processOptions,
  ...schemaOptions,
  ...redisOptions,
  ...clickhouseOptions,
  ...topologyOptions,
}
