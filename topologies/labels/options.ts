import { z } from 'zod'
import { duration, durationTakes, flag, flagTakes } from '../../streams/option-types.ts'
import { defineOptions, type OptionValues, option } from '../../streams/options.ts'
import type { LabelTimes } from './pending.ts'
import { type FeedbackWeights, feedbackKinds, type Objectives, objectiveNames } from './target.ts'

/** `name=weight,...` of known names; those not given have 0. */
function weights<N extends string>(
  names: readonly N[],
  lowest: number,
  isValid: (weights: Readonly<Record<N, number>>) => boolean = () => true,
): z.ZodType<Readonly<Record<N, number>>> {
  return z.union([z.string(), z.record(z.string(), z.coerce.number())]).transform((given, ctx) => {
    const pairs =
      typeof given === 'string'
        ? given.split(',').map(pair => pair.split('=').map(part => part.trim()))
        : Object.entries(given)
    const values = Object.fromEntries(names.map(name => [name, 0])) as Record<N, number>
    for (const [name, value] of pairs) {
      const weight = value === '' || value === undefined ? Number.NaN : Number(value)
      if (names.includes(name as N) && weight >= lowest && weight <= 1) values[name as N] = weight
      else ctx.addIssue({ code: 'custom', message: `not a weight: ${name}` })
    }
    if (!isValid(values)) ctx.addIssue({ code: 'custom', message: 'not weights' })
    return values
  })
}

const objectivesTakes = `weights from 0 to 1 such as graded=1,completion=.3, of ${objectiveNames.join(', ')}; at least one above 0`
const feedbackTakes = `weights from -1 to 1 such as like=.2,hide=-1, of ${feedbackKinds.join(', ')}`

/** Keys of pseudonyms by their names: id=key,id=key. */
const namedKeys = z.string().transform((given, ctx) => {
  const pairs = given
    .split(',')
    .filter(pair => pair.trim() !== '')
    .map(pair => /^\s*([^=\s]+)\s*=(.{16,})$/.exec(pair))
  if (pairs.every(pair => pair !== null)) return pairs.map(([, id, key]) => ({ id, key }))
  ctx.addIssue({ code: 'custom', message: 'not keys' })
  return z.NEVER
})

const waiting = () => duration().refine(ms => ms > 0)

export const labelsOptions = defineOptions({
  'labels.startWithin': option(waiting(), 600_000, {
    help: 'An impression waits this long for a play to start; after 10m a play has other reasons than the list',
    takes: durationTakes,
  }),
  'labels.joinWithin': option(waiting(), 1_800_000, {
    help: "A watch without requestId joins the user's newest impression of the item up to this old, else it is organic; one session gap",
    takes: durationTakes,
  }),
  'labels.silence': option(waiting(), 300_000, {
    help: 'A play without a heartbeat for this long has ended; ten heartbeats of 30s may be lost',
    takes: durationTakes,
  }),
  'labels.longest': option(waiting(), 14_400_000, {
    help: 'A label is final this long after the impression at the latest; 4h is longer than any film',
    takes: durationTakes,
  }),
  'labels.slack': option(duration(), 300_000, {
    help: "Deadlines are held this far behind the partition's newest event: a clock may be 5m ahead, and one such client must not end the wait of all others",
    takes: durationTakes,
  }),
  'labels.objectives': option<Objectives>(
    weights(objectiveNames, 0, given => objectiveNames.some(name => given[name] > 0)),
    { click: 0, graded: 1, completion: 0.3, return1d: 0 },
    {
      help: 'What the target of an impression is made of: click, graded (how much was watched, among plays of like duration), completion, return1d (another session within labels.returnWithin). graded=1,completion=.3: watching counts, and seeing the end a bit more; clicks alone reward titles. return1d keeps every impression for a day (~200 B), so it is off',
      takes: objectivesTakes,
    },
  ),
  'labels.feedback': option<FeedbackWeights>(
    weights(feedbackKinds, -1),
    { like: 0.2, share: 0.3, save: 0.2, follow: 0.3, dislike: -0.5, hide: -1, report: -1 },
    {
      help: 'What each kind of feedback on an impression adds to its target (kept within 0 and 1). A share or follow costs more than a like and says more; a hidden or reported item is worth nothing however long it was watched',
      takes: feedbackTakes,
    },
  ),
  'labels.returnWithin': option(waiting(), 86_400_000, {
    help: 'Another session of the user within this time after the impression counts as a return. 1d: tomorrow at the same hour',
    takes: durationTakes,
  }),
  'labels.examples': option(flag(), true, {
    help: 'Write impressions and their outcomes to the table examples',
    takes: flagTakes,
  }),
  'privacy.pseudonymKey': option(z.string().min(16), 'freshet-development-key-not-secret', {
    help: 'Key of the pseudonyms (HMAC-SHA256) that stand for users in ClickHouse. The default is public, for development alone: set your own, and destroy it to make all pseudonyms meaningless',
    takes: 'a text of at least 16 characters',
  }),
  'privacy.formerKeys': option(namedKeys, [], {
    help: 'Earlier pseudonym keys under which rows may still stand in ClickHouse: erasures remove those too. Drop one once its newest rows have expired (clickhouse.examples.retention)',
    takes: 'id=key,id=key with keys of at least 16 characters and without commas',
  }),
  'privacy.pseudonymKeyId': option(z.string().min(1), 'development', {
    help: 'Name of the pseudonym key, written beside every pseudonym so that keys can be changed',
    takes: 'a short name',
  }),
})

type LabelTimesOptions = Pick<
  OptionValues<typeof labelsOptions>,
  | 'labels.startWithin'
  | 'labels.joinWithin'
  | 'labels.silence'
  | 'labels.longest'
  | 'labels.objectives'
  | 'labels.returnWithin'
>

/** The waits of L1 and L2 as the options say. */
export function labelTimes(options: LabelTimesOptions): LabelTimes {
  return {
    startWithinMs: options['labels.startWithin'],
    joinWithinMs: options['labels.joinWithin'],
    silenceMs: options['labels.silence'],
    longestMs: options['labels.longest'],
    returnWithinMs: options['labels.objectives'].return1d > 0 ? options['labels.returnWithin'] : 0,
  }
}
