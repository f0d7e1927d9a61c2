/** Options of calibration. */
import { z } from 'zod'
import { defineOptions, option } from '../../streams/options.ts'

export const calibrationOptions = defineOptions({
  'calibration.scores': option(z.enum(['auto', 'probability', 'logit']), 'auto', {
    help: 'What the score of an impression is: a probability, or a logit (then p = 1 / (1 + e^-score)). auto: a model whose scores in a window all lie within 0 and 1 gives probabilities, else logits. Name it where a model gives small logits in quiet windows',
    takes: 'auto, probability or logit',
  }),
})
