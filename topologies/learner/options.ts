import { z } from 'zod'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'

const positive = z.coerce.number().positive().max(1e6)
const count = z.coerce.number().int().min(1).max(1e6)

export const learnerOptions = defineOptions({
  'learner.seed': option(z.coerce.number().int().min(0).max(0xffffffff), 1, {
    help: 'Seed of the learner: where vectors start and which negatives are drawn. The same seed and the same positives in the same order give the same vectors.',
    takes: 'a whole number from 0 to 4294967295',
  }),
  'learner.commitInterval': option(duration(), 5_000, {
    help: 'How often the learner commits. Its input is durable and its rows are soft, so 5s saves commits and costs a crash at most that much repeated work.',
    takes: durationTakes,
  }),
  'learner.maxPerSecond': option(count, 2_000, {
    help: 'Positives learnt a second; above that a uniform sample by hash is learnt (counts are never sampled). 2000 fill a core at 460 us a positive.',
    takes: 'a whole number from 1 to 1000000',
  }),
  'learner.share': option(z.coerce.number().gt(0).max(1), 1, {
    help: 'Share of the positives that is learnt at any rate, a uniform sample by hash; counts are never sampled. 1 learns all. Less shows on a log, whose time passes faster than a clock, what learner.maxPerSecond costs.',
    takes: 'a number above 0, at most 1',
  }),
  'learner.publishInterval': option(duration(), 10_000, {
    help: 'How often moved vectors are published to every process. 10s: popularity a minute old costs .001 of recall, so vectors may be slower than counts.',
    takes: durationTakes,
  }),
  'learner.publishThreshold': option(z.coerce.number().min(0).max(10), 0.05, {
    help: 'How far an item must have moved since it was published last, as a share of its length (or its bias in nats), to be published again. .05 is within the noise of one step on a young item, and far above float16 rounding.',
    takes: 'a number from 0 to 10',
  }),
  'learner.learningRate': option(positive, 0.05, {
    help: 'Step of the gradient descent of session embeddings. .05 was best or equal on three public logs.',
    takes: 'a number above 0',
  }),
  'learner.negatives': option(z.coerce.number().int().min(1).max(1_000), 20, {
    help: 'Sampled negatives a positive. 20: more cost time and gained nothing on three public logs.',
    takes: 'a whole number from 1 to 1000',
  }),
  'learner.recentPool': option(count, 5_000, {
    help: 'Of how many newest positives half of the negatives are drawn, so that popular items are told apart from each other.',
    takes: 'a whole number from 1 to 1000000',
  }),
})
