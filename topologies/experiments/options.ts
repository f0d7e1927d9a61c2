/** Options of experiments. */
import { z } from 'zod'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'
import { type Adjustment, adjustments } from './statistics/adjust.ts'

export const experimentsOptions = defineOptions({
  'experiments.interval': option(duration(), 300_000, {
    help: "How often, in event time, an experiment's figures are written where something changed. 5m: with thirty rows a time that is under ten thousand a day, and nobody decides faster",
    takes: durationTakes,
  }),
  'experiments.alpha': option(z.coerce.number().gt(0).lt(0.5), 0.05, {
    help: 'How often an experiment without any effect may ever be called one, however often one looks; intervals are of level 1 - alpha. .05 is what is commonly asked of evidence',
    takes: 'a number between 0 and 0.5',
  }),
  'experiments.minUsers': option(z.coerce.number().int().min(2).max(1_000_000), 100, {
    help: 'Users that an arm must have before it gets an interval and a p. 100: from there on at most 6% of streams without an effect were called one, also of skewed metrics (docs/experiments.md)',
    takes: 'a whole number from 2 to 1000000',
  }),
  'experiments.adjust': option<Adjustment>(z.enum(adjustments), 'holm', {
    help: 'How the p of the declared metrics and arms are adjusted for being several. holm: it keeps the chance of any false alarm under any dependence, and never says less than bonferroni; benjamini-hochberg keeps the share of false ones, which suits looking for ideas rather than deciding',
    takes: adjustments.join(', '),
  }),
  'experiments.watchCap': option(duration(), 4 * 3_600_000, {
    help: 'Time watched that counts at most, for each day on which the user was active. 4h: a screen left on all night must not outweigh a hundred viewers',
    takes: durationTakes,
  }),
})
