/** Every option of the recommender, gathered from beside what it steers. */
import { duration, durationTakes } from '../streams/option-types.ts'
import { defineOptions, type OptionValues, option } from '../streams/options.ts'
import { alertOptions } from './alerts/options.ts'
import { calibrationOptions } from './calibration/options.ts'
import { covisitOptions } from './covisit/options.ts'
import { driftOptions } from './drift/options.ts'
import { evaluationOptions } from './evaluation/options.ts'
import { experimentsOptions } from './experiments/options.ts'
import { itemOptions } from './items/options.ts'
import { labelsOptions } from './labels/options.ts'
import { learnerOptions } from './learner/options.ts'
import { modelsOptions } from './models/options.ts'
import { popularityOptions } from './popularity/options.ts'
import { qualityOptions } from './quality/options.ts'
import { responseOptions } from './response/options.ts'
import { servedOptions } from './served/options.ts'
import { sessionsOptions } from './sessions/options.ts'
import { topkOptions } from './topk/options.ts'

const taskOptions = defineOptions({
  'user.commitInterval': option(duration(), 100, {
    help: 'How often user tasks commit. 100 ms: a tenth of the second that freshness is promised in; longer costs less CPU an event.',
    takes: durationTakes,
  }),
  'global.commitInterval': option(duration(), 1_000, {
    help: 'How often popularity sets and cohort lists are written.',
    takes: durationTakes,
  }),
})

export const topologyOptions = {
  ...taskOptions,
  ...sessionsOptions,
  ...labelsOptions,
  ...servedOptions,
  ...itemOptions,
  ...popularityOptions,
  ...covisitOptions,
  ...learnerOptions,
  ...responseOptions,
  ...topkOptions,
  ...modelsOptions,
  ...driftOptions,
  ...qualityOptions,
  ...calibrationOptions,
  ...evaluationOptions,
  ...experimentsOptions,
  ...alertOptions,
}

export type TopologyOptions = OptionValues<typeof topologyOptions>
