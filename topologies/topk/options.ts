import { z } from 'zod'
import { duration, durationTakes, flag, flagTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'
import { noPolicies, type PolicyFile, policyFile } from './policy-file.ts'

const whole = (min: number, max: number) => z.coerce.number().int().min(min).max(max)
const wholeTakes = (min: number, max: number) => `a whole number from ${min} to ${max}`
const share = z.coerce.number().min(0).max(1)
const surface = /^[a-z0-9-]+$/

const surfaces: z.ZodType<readonly string[]> = z
  .union([z.string(), z.array(z.string())])
  .transform((given, ctx) => {
    const names = (typeof given === 'string' ? given.split(',') : given).map(name => name.trim())
    if (names.length > 0 && names.every(name => surface.test(name))) return names
    ctx.addIssue({ code: 'custom', message: 'not surfaces' })
    return z.NEVER
  })
const surfacesOrNone: z.ZodType<readonly string[]> = z.union([
  z.literal('').transform(() => [] as readonly string[]),
  surfaces,
])
const surfacesTakes = 'names of a-z, 0-9 and -, parted by commas'

export const topkOptions = defineOptions({
  'topk.surfaces': option<readonly string[]>(surfaces, ['home'], {
    help: 'The surfaces that lists are made for. One list a user and surface: the cost is the retrieval once and a draw for each.',
    takes: surfacesTakes,
  }),
  'topk.size': option(whole(1, 200), 50, {
    help: 'Items in a list. 50 covers what a screen session scrolls through, and the list is renewed with every event.',
    takes: wholeTakes(1, 200),
  }),
  'topk.format': option(z.enum(['json', 'compact']), 'json', {
    help: 'json: an object an item, as it is read most easily. compact: arrays, half the bytes, where Redis memory counts.',
    takes: 'json or compact',
  }),
  'topk.life': option(duration(), 7 * 86_400_000, {
    help: "Life of a user's list without events. 7d: who comes back within a week finds a personal list.",
    takes: durationTakes,
  }),
  'topk.cohortLife': option(duration(), 86_400_000, {
    help: 'Life of cohort and global lists; written again at half of it where nothing changed. 1d, so that they outlive an outage of a night.',
    takes: durationTakes,
  }),
  'topk.cohorts': option(whole(0, 100_000), 200, {
    help: 'Cohorts that have lists of their own: the most active ones by the positives of 7d. Who is in another reads the global lists. 200: 16 draws of each every 10s are a tenth of a core.',
    takes: wholeTakes(0, 100_000),
  }),
  'topk.minInterval': option(duration(), 500, {
    help: "A user's list is rebuilt at most this often; events in between are taken together. 500ms: faster than anyone scrolls on.",
    takes: durationTakes,
  }),
  'topk.oldestFirstAfter': option(duration(), 1_000, {
    help: 'Newest users are rebuilt first, but one that waits longer than this comes before all. 1s is the promise on lists.',
    takes: durationTakes,
  }),
  'topk.candidates': option(whole(1, 2_000), 30, {
    help: 'Candidates a source (five sources). 30 gives about 110, which lose nothing against ranking every item.',
    takes: wholeTakes(1, 2_000),
  }),
  'topk.policies': option<PolicyFile>(policyFile, noPolicies, {
    help: 'A JSON file with what each surface does: size, policy, rules, floors and caps for groups, exploration, refresh (docs/lists.md). What it does not say is as the other options topk.* say; without it all surfaces are alike.',
    takes: 'the name of a file, or the JSON that would stand in it',
  }),
  'topk.policy': option(z.enum(['plackett-luce', 'epsilon', 'thompson']), 'plackett-luce', {
    help: 'How positions are drawn. plackett-luce: from the softmax of the scores; epsilon: the best, or with topk.epsilon any allowed one; thompson: the best by a sample of how good each may be.',
    takes: 'plackett-luce, epsilon or thompson',
  }),
  'topk.temperature': option(z.coerce.number().min(0).max(100), 0.1, {
    help: 'Temperature of the plackett-luce draw; 0: always the best, p = 1. .1 moves neighbours in rank and hardly anything else, yet every candidate keeps a propensity to learn from.',
    takes: 'a number from 0 to 100',
  }),
  'topk.epsilon': option(share, 0.05, {
    help: 'Chance of a uniform pick at a position with topk.policy epsilon. .05 is two or three of fifty.',
    takes: 'a number from 0 to 1',
  }),
  'topk.samples': option(whole(1, 1_000), 32, {
    help: 'Samples of each rate that thompson draws a list by. 32 tells chances down to 3% apart, and cost 1.2 ms a list, which is more than all the rest of it; time grows with it.',
    takes: wholeTakes(1, 1_000),
  }),
  'topk.rateWeight': option(z.coerce.number().min(0).max(10), 0.5, {
    help: "What a unit of an item's rate (log-odds of positives per impression) weighs beside the score with thompson. .5: an item that is twice as likely to be watched is moved by .35, as far as a neighbour or two.",
    takes: 'a number from 0 to 10',
  }),
  'explore.holdout': option(share, 0.01, {
    help: 'Share of users whose lists are drawn at explore.holdoutTemperature and from whom nothing is learnt: the yardstick for what learning from its own lists does. 1% measures click rates of an hour well enough in a large service; 0 is off.',
    takes: 'a number from 0 to 1',
  }),
  'explore.holdoutTemperature': option(z.coerce.number().min(0.001).max(100), 1, {
    help: 'Temperature of the draws for the holdout. 1: each item as often as the score says that it would be chosen, ten times as warm as topk.temperature.',
    takes: 'a number from 0.001 to 100',
  }),
  'explore.salt': option(z.string(), '', {
    help: 'Deals users to the holdout and contexts to epsilons. Another one deals anew.',
    takes: 'a text',
  }),
  'topk.mmr': option(z.coerce.number().min(0).max(10), 0.3, {
    help: 'Penalty on likeness to the items above (maximal marginal relevance), in logits at cosine 1. .3 parts near doubles and leaves a taste as it is; 0 is off and saves a quarter to a third of the time.',
    takes: 'a number from 0 to 10',
  }),
  'topk.mmrPositions': option(whole(0, 200), 10, {
    help: "Likeness is measured to items in the first positions only, since it is half of a list's time. 10 is what is seen together with the top.",
    takes: wholeTakes(0, 200),
  }),
  'topk.creatorCap': option(whole(0, 200), 5, {
    help: "At most this many of one creator's items in a list; 0: no cap. 5 of 50 leaves a favourite a tenth.",
    takes: wholeTakes(0, 200),
  }),
  'topk.topicRun': option(whole(0, 200), 4, {
    help: 'At most this many items in a row with the same first topic, as long as another is at hand; 0: no limit. 4 is about a screen.',
    takes: wholeTakes(0, 200),
  }),
  'topk.restricted': option<readonly string[]>(surfacesOrNone, [], {
    help: 'Surfaces whose lists may hold items of safety `restricted`. None: an item is restricted by default until its producer says otherwise.',
    takes: `${surfacesTakes}, or nothing`,
  }),
  'topk.fatigue': option(flag(), true, {
    help: 'Whether impressions without a watch weigh an item down (x .8 each in 7d) and out (8 within 24h).',
    takes: flagTakes,
  }),
  'topk.withdrawalSweep': option(duration(), 480_000, {
    help: 'Time in which lists not seen since a restart are rebuilt once an item was withdrawn. 8m keeps to the 10m promised with room for a busy hour.',
    takes: durationTakes,
  }),
  'topk.seed': option(whole(0, 0xffffffff), 1, {
    help: 'Seed of all draws: with the user and the offset of the newest event it decides a draw.',
    takes: wholeTakes(0, 0xffffffff),
  }),
  'slates.share': option(share, 0.01, {
    help: 'Share of draws written to the table `slates` with all candidates, so that propensities can be recomputed. 1%: a row is ~20 KB.',
    takes: 'a number from 0 to 1',
  }),
})
