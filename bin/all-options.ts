/** Every option there is. Declared beside what it steers; gathered here. */
import { schemaOptions } from '../schemas/index.ts'
import { clickhouseOptions } from '../sinks/clickhouse/options.ts'
import { redisOptions } from '../sinks/redis/options.ts'
import { covisitOptions } from '../topologies/covisit/options.ts'
import { itemOptions } from '../topologies/items/options.ts'
import { learnerOptions } from '../topologies/learner/options.ts'
import { popularityOptions } from '../topologies/popularity/options.ts'
import { processOptions } from './options.ts'

export const allOptions = {
  ...processOptions,
  ...schemaOptions,
  ...redisOptions,
  ...clickhouseOptions,
  ...itemOptions,
  ...popularityOptions,
  ...covisitOptions,
  ...learnerOptions,
}
